"""PostgreSQL as a place for a service's tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from chargekey_common.errors import CannotRunError

if TYPE_CHECKING:
    # Everybody's settings know this place, and a service that has none would import for longer.
    import psycopg

# A server that is gone without a word is noticed after some seconds, not after the
# quarter of an hour that TCP gives it.
PATIENCE: Mapping[str, int] = {
    "connect_timeout": 5,  # s
    "keepalives_idle": 5,  # s
    "keepalives_interval": 2,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms
}


class Postgres(msgspec.Struct, frozen=True):
    """A schema of a database, by a URL that may hold a password: it is never shown.

    The connections must be the server's own sessions: a pooler that hands
    transactions round breaks the locks of leaders and the wake-ups of readers.
    """

    dsn: str
    schema: str

    def __repr__(self) -> str:
        return f"Postgres(schema={self.schema!r})"

    @property
    def conninfo(self) -> str:
        """What to connect with: the URL, and `PATIENCE` where it leaves that open."""
        from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - as above

        return make_conninfo("", **{**PATIENCE, **conninfo_to_dict(self.dsn)})

    def connect(self) -> psycopg.Connection:
        """Open a session of its own, every statement committed at once."""
        import psycopg  # noqa: PLC0415 - as above

        return psycopg.connect(self.conninfo, autocommit=True)


class DatabaseUnreachableError(CannotRunError):
    """The database does not answer, or does not let this service in."""

    def __init__(self, trouble: str) -> None:
        super().__init__(f"The database cannot be used: {' '.join(trouble.split())}")


class NotMigratedError(CannotRunError):
    """The schema has no tables, or another version's."""

    def __init__(self, where: Postgres) -> None:
        super().__init__(
            f"The database has no tables for {where.schema} yet:"
            f" run `chargekey-{where.schema} migrate` once, then start again."
        )


@contextlib.contextmanager
def migrating(where: Postgres) -> Iterator[None]:
    """Make the schema, and tables inside the block, one process at a time."""
    import psycopg  # noqa: PLC0415 - as above
    from psycopg.sql import SQL, Identifier  # noqa: PLC0415 - as above

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
