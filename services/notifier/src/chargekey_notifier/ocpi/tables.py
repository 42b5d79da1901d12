"""The tables of everything OCPI, in one database: `ocpi.db`, or the notifier's schema."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
)

from chargekey_common import database
from chargekey_common.database import ID, Database
from chargekey_common.postgres import Postgres
from chargekey_notifier import receipts

TABLES = MetaData()
PEERS = Table(
    "ocpi_peers",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    Column("state", Text, nullable=False),
    # Of the token that it calls us with.
    Column("token_hash", LargeBinary, nullable=False),
    Column("sealed_token", LargeBinary),
    Column("tokens_encoded", Boolean, nullable=False),
    Column("versions_url", Text, nullable=False),
    Column("roles", LargeBinary, nullable=False),
    Column("modules", LargeBinary, nullable=False),
    # Where access has it asked in real time because of us; empty where it does not.
    Column("decision_url", Text, nullable=False),
    # The decision endpoint is not yet what this connection wants it to be.
    Column("unsettled", Boolean, nullable=False),
    # When its tokens were fetched last, in nanoseconds since the epoch; 0 for never.
    Column("pulled_at", BigInteger, nullable=False),
    UniqueConstraint("token_hash"),
    sqlite_with_rowid=False,
)
TOKENS = Table(
    "ocpi_tokens",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    # A hash, under the deployment's secret, of whose it is and of what is presented.
    Column("key", LargeBinary, primary_key=True),
    Column("last_updated", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
# Counted as they come: to count a million takes long.
TOKEN_COUNTS = Table(
    "ocpi_token_counts",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
STARTS = Table(
    "ocpi_starts",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    # What the session will be told with, and whether that is the operator's own name for it.
    Column("reference", ID, primary_key=True),
    Column("named", Boolean, nullable=False),
    # In nanoseconds since the epoch.
    Column("at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("ocpi_starts_by_age", "at"),
    sqlite_with_rowid=False,
)
RECEIPTS = receipts.table(TABLES, "ocpi_receipts")
OBJECTS = Table(
    "ocpi_objects",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    # `location`, `session` or `cdr`.
    Column("kind", Text, primary_key=True),
    Column("id", ID, primary_key=True),
    # Of when it is, and of its latest change, in nanoseconds since the epoch.
    Column("made_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    # Counts its changes; `pushed` is that of which the operator has taken the last.
    Column("version", BigInteger, nullable=False),
    Column("pushed", BigInteger, nullable=False),
    # Whether there is anything to tell the operator, and whether more may come.
    Column("listed", Boolean, nullable=False),
    Column("going_on", Boolean, nullable=False),
    # When something is to be seen to: an address to ask for, a session to settle.
    Column("due_at", BigInteger),
    Column("state", LargeBinary, nullable=False),
    # What the operator has taken of a location.
    Column("taken", LargeBinary),
    Index("ocpi_objects_by_age", "partner_id", "kind", "made_at", "id"),
    sqlite_with_rowid=False,
)
_UNPUSHED = and_(OBJECTS.c.listed, OBJECTS.c.version != OBJECTS.c.pushed)
Index(
    "ocpi_objects_unpushed",
    *(OBJECTS.c.partner_id, OBJECTS.c.kind, OBJECTS.c.changed_at),
    sqlite_where=_UNPUSHED,
    postgresql_where=_UNPUSHED,
)
_DUE = OBJECTS.c.due_at.is_not(None)
Index(
    "ocpi_objects_due",
    *(OBJECTS.c.partner_id, OBJECTS.c.due_at),
    sqlite_where=_DUE,
    postgresql_where=_DUE,
)
FOLLOWED = Table(
    "ocpi_followed",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    # Of the last event of its feed that the objects are made from.
    Column("number", BigInteger, nullable=False),
    # Whether what is there is being pushed to it.
    Column("pushing", Boolean, nullable=False),
    sqlite_with_rowid=False,
)


def opened(where: Path | Postgres) -> Database:
    """Return the database with these tables."""
    return Database(where, TABLES, alone=True)


def migrate(where: Postgres) -> None:
    """Make the tables, once before the first replica; harmless to repeat."""
    database.migrate(where, TABLES)
