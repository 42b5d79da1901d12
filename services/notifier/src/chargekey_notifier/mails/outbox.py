"""Mails to be sent: a durable queue, written with the position it follows from.

No names, no addresses: who is written to is a role, what about are opaque ids. What
was sent stays as a row, because it is what keeps a refilled bus from sending again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    select,
    update,
)

from chargekey_common import database
from chargekey_common.database import ID, NUMBER, Database
from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres

# Who is written to: the administrator, or the user it is about, at his address.
ADMINISTRATOR = "administrator"
USER = "user"

_TABLES = MetaData()
_MAILS = Table(
    "mails",
    _TABLES,
    Column("number", NUMBER, primary_key=True),
    Column("event_id", ID, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("installation_id", ID),
    Column("invitation_id", ID),
    Column("at", BigInteger, nullable=False),
    Column("outcome", Text),
    Column("settled_at", BigInteger),
    UniqueConstraint("event_id", "recipient"),
    sqlite_autoincrement=True,
)
_WAITS = _MAILS.c.outcome.is_(None)
Index("waiting", _MAILS.c.number, sqlite_where=_WAITS, postgresql_where=_WAITS)
_HANDLED = Table(
    "handled",
    _TABLES,
    Column("reaction", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("generation", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
_SET_ASIDE = Table(
    "set_aside",
    _TABLES,
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


class Mail(msgspec.Struct, frozen=True):
    """What to tell whom: which event of `kind`, when (ns), about which user and where.

    A block without an installation is one of the whole platform.
    """

    event_id: str
    recipient: str
    kind: Literal["user_blocked", "invitation", "sign_in_link"]
    user_id: str
    at: int
    installation_id: str | None = None
    invitation_id: str | None = None


_FIRST = (
    select(*(_MAILS.c[name] for name in Mail.__struct_fields__))
    .where(_WAITS)
    .order_by(_MAILS.c.number)
    .limit(1)
)
_HOW_MANY = select(func.count()).select_from(_MAILS).where(_WAITS)


def _handled_last(reaction: str) -> Select[Any]:
    return select(_HANDLED.c.service, _HANDLED.c.generation, _HANDLED.c.number).where(
        _HANDLED.c.reaction == reaction
    )


class Outbox:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError.

    A file is one process's alone: StoreInUseError when another has it. On PostgreSQL
    any replica adds, and `on_added` tells of its own mails only; one sends at a time,
    because two would send everything twice: that is for who runs it to see to.
    """

    def __init__(self, where: Path | Postgres) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._db = Database(where, _TABLES, alone=True)
        self._new_mail = self._db.insert(_MAILS).on_conflict_do_nothing()
        self._first_handled = self._db.insert(_HANDLED).on_conflict_do_nothing()
        self._new_set_aside = self._db.insert(_SET_ASIDE).on_conflict_do_nothing()

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database, once what runs in it has ended."""
        self._db.close()

    def on_added(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the adding thread, after each mail that was added here."""
        self._listeners.append(listener)

    def add(self, mail: Mail, handled: Handled) -> None:
        """Queue the mail together with the position handled; neither comes twice.

        The position tells what was handled in this life of the other service's
        store; the event's id tells it under every other generation too. Of two
        replicas that come with the same reaction the second waits for the first.
        """
        with self._db.writing() as connection:
            if not self._handle(connection, handled):
                return
            connection.execute(self._new_mail, msgspec.structs.asdict(mail))
        for listener in self._listeners:
            listener()

    def handled(self, reaction: str) -> Position | None:
        """Return how far the reaction has come, or None before its first event."""
        with self._db.reading() as connection:
            row = connection.execute(_handled_last(reaction)).first()
        return None if row is None else Position(*row)

    def set_aside(self, event: SetAside) -> None:
        """Set an event aside, together with its position handled; never twice."""
        row = msgspec.structs.asdict(event) | msgspec.structs.asdict(event.position)
        del row["position"]
        with self._db.writing() as connection:
            if self._handle(connection, Handled(event.reaction, event.position)):
                connection.execute(self._new_set_aside, row | {"about": event.about})

    def holds(self, reaction: str, about: str) -> bool:
        """Return whether an event about this is set aside."""
        found = select(_SET_ASIDE.c.place).where(
            _SET_ASIDE.c.reaction == reaction, _SET_ASIDE.c.about == about
        )
        with self._db.reading() as connection:
            return connection.execute(found.limit(1)).first() is not None

    def set_aside_for(self, reaction: str) -> Sequence[SetAside]:
        """Return what the reaction has set aside, in the order it came."""
        found = select(_SET_ASIDE).where(_SET_ASIDE.c.reaction == reaction)
        with self._db.reading() as connection:
            rows = connection.execute(found.order_by(_SET_ASIDE.c.place)).all()
        return [
            SetAside(
                reaction,
                row.event_id,
                Position(row.service, row.generation, row.number),
                row.subject,
                row.headers,
                row.data,
            )
            for row in rows
        ]

    def first_waiting(self) -> Mail | None:
        """Return the oldest mail that is neither sent nor dropped."""
        with self._db.reading() as connection:
            row = connection.execute(_FIRST).first()
        return None if row is None else Mail(*row)

    def waiting(self) -> int:
        """Return how many mails wait."""
        with self._db.reading() as connection:
            return connection.execute(_HOW_MANY).scalar_one()

    def settle(self, mail: Mail, outcome: str) -> None:
        """Mark the mail: `sent`, or why it was dropped; it never comes first again.

        What it was marked with first stays.
        """
        with self._db.writing() as connection:
            connection.execute(
                update(_MAILS)
                .where(
                    _MAILS.c.event_id == mail.event_id,
                    _MAILS.c.recipient == mail.recipient,
                    _WAITS,
                )
                .values(outcome=outcome, settled_at=time.time_ns())
            )

    def _handle(self, connection: Connection, handled: Handled) -> bool:
        """Mark the event as handled, or return False where it is so already."""
        if handled.again is not None:
            taken_out = delete(_SET_ASIDE).where(
                _SET_ASIDE.c.reaction == handled.reaction,
                _SET_ASIDE.c.event_id == handled.again,
            )
            return bool(connection.execute(taken_out).rowcount)
        if self._locked(connection, handled).includes(handled.position):
            return False
        connection.execute(
            update(_HANDLED)
            .where(_HANDLED.c.reaction == handled.reaction)
            .values(msgspec.structs.asdict(handled.position))
        )
        return True

    def _locked(self, connection: Connection, handled: Handled) -> Position:
        """Return what was handled last, kept from others until the transaction ends."""
        found = _handled_last(handled.reaction).with_for_update()
        row = connection.execute(found).first()
        if row is None:
            # Nothing yet, which nobody can lock: a row from before the first event, by
            # whichever replica is first.
            nothing = {**msgspec.structs.asdict(handled.position), "number": 0}
            connection.execute(self._first_handled, {"reaction": handled.reaction, **nothing})
            row = connection.execute(found).one()
        return Position(*row)
