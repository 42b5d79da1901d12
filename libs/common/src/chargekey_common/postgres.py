"""PostgreSQL as a place for a service's tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

# Seconds for a connection to come about.
CONNECT_TIMEOUT = 5


class Postgres(msgspec.Struct, frozen=True):
    """A schema of a database, by a URL that may hold a password: it is never shown.

    The connections must be the server's own sessions: a pooler that hands
    transactions round breaks the locks of leaders and the wake-ups of readers.
    """

    dsn: str
    schema: str

    def __repr__(self) -> str:
        return f"Postgres(schema={self.schema!r})"

    def connect(self) -> psycopg.Connection:
        """Open a session of its own, every statement committed at once."""
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT)


class NotMigratedError(Exception):
    """The schema has no tables, or another version's: run the service with `migrate` first."""


@contextlib.contextmanager
def migrating(where: Postgres) -> Iterator[None]:
    """Make the schema, and tables inside the block, one process at a time."""
    with where.connect() as connection:
        connection.execute(
            "SELECT pg_advisory_lock(hashtextextended(%s, 0))",
            (f"chargekey migrates {where.schema}",),
        )
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(where.schema)))
        yield
