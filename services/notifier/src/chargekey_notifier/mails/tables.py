"""The tables of `notifier.db`: mails, how far each reaction has come, and what nobody wants.

No names, no addresses, no codes: who is written to is a role or an opaque id, and so is what
about. What was sent stays as a row, because it is what keeps a refilled bus from sending again.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from chargekey_common.database import ID, NUMBER
from chargekey_notifier import receipts

TABLES = MetaData()
MAILS = Table(
    "mails",
    TABLES,
    Column("number", NUMBER, primary_key=True),
    Column("event_id", ID, nullable=False),
    Column("recipient", ID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("user_id", ID),
    # When it happened, and from when on it may be sent; nanoseconds since the epoch.
    Column("at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("installation_id", ID),
    Column("charger_id", ID),
    Column("object_id", ID),
    Column("until", BigInteger),
    # Not told of more than once an hour.
    Column("topic", ID),
    # How often it could not be sent, and when it is tried again.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("again_at", BigInteger, nullable=False, server_default="0"),
    Column("outcome", Text),
    Column("settled_at", BigInteger),
    UniqueConstraint("event_id", "recipient", "kind"),
    sqlite_autoincrement=True,
)
WAITS = MAILS.c.outcome.is_(None)
Index(
    "waiting",
    MAILS.c.recipient,
    MAILS.c.number,
    sqlite_where=WAITS,
    postgresql_where=WAITS,
)
Index("told_of", MAILS.c.topic, MAILS.c.recipient, MAILS.c.due_at)
HANDLED = Table(
    "handled",
    TABLES,
    Column("reaction", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("generation", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
SET_ASIDE = Table(
    "set_aside",
    TABLES,
    Column("place", NUMBER, primary_key=True),
    Column("reaction", Text, nullable=False),
    Column("event_id", ID, nullable=False),
    Column("about", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("generation", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("data", LargeBinary, nullable=False),
    UniqueConstraint("reaction", "event_id"),
    sqlite_autoincrement=True,
)
RECEIPTS = receipts.table(TABLES, "mail_commands")
DECLINED = Table(
    "declined",
    TABLES,
    Column("user_id", ID, primary_key=True),
    Column("choice", Text, primary_key=True),
    sqlite_with_rowid=False,
)
