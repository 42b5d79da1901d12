"""PostgreSQL as a place for a service's tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

from chargekey_common.errors import CannotStartError

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


class DatabaseUnreachableError(CannotStartError):
    """The database does not answer, or does not let this service in."""

    def __init__(self, trouble: str) -> None:
        super().__init__(f"The database cannot be used: {' '.join(trouble.split())}")


class NotMigratedError(CannotStartError):
    """The schema has no tables, or another version's."""

    def __init__(self, where: Postgres) -> None:
        super().__init__(
            f"The database has no tables for {where.schema} yet:"
            f" run `chargekey-{where.schema} migrate` once, then start again."
        )


@contextlib.contextmanager
def migrating(where: Postgres) -> Iterator[None]:
    """Make the schema, and tables inside the block, one process at a time."""
    try:
        connection = where.connect()
    except psycopg.OperationalError as error:
        raise DatabaseUnreachableError(str(error)) from error
    with connection:
        connection.execute(
            "SELECT pg_advisory_lock(hashtextextended(%s, 0))",
            (f"chargekey migrates {where.schema}",),
        )
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(where.schema)))
        yield
