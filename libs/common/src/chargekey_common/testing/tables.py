"""A look into a service's tables from outside, and a hand on them, as another process."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from chargekey_common.postgres import Postgres
from chargekey_common.testing.waiting import SOON

# Seconds for whoever vacuums to end.
CLEARING = 60.0
_VACUUMING = "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%'"

Session: TypeAlias = sqlite3.Connection | psycopg.Connection


@contextlib.contextmanager
def session(place: Path | Postgres) -> Iterator[Session]:
    """Yield a connection of one's own; each statement is committed, outside BEGIN."""
    if isinstance(place, Postgres):
        with psycopg.connect(place.dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("SET search_path TO {}").format(sql.Identifier(place.schema))
            )
            yield connection
    else:
        with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as file:
            yield file


def execute(place: Path | Postgres, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of one statement, if it has any."""
    with session(place) as connection:
        done = connection.execute(statement)
        return [tuple(row) for row in done.fetchall()] if done.description else []


@contextlib.contextmanager
def nobody_else_looking(place: Postgres) -> Iterator[None]:
    """Keep the server's autovacuum away for the length of the block.

    A deleted row that its ANALYZE, of whatever table, may still look at is left where it stands.
    """
    with session(place) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
        try:
            deadline = time.monotonic() + CLEARING
            while connection.execute(_VACUUMING).fetchone():
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(SOON)
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET autovacuum")
            connection.execute("SELECT pg_reload_conf()")
