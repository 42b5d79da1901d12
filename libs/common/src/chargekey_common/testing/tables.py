"""A look into a service's tables from outside, and a hand on them, as another process."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from chargekey_common.postgres import Postgres

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
