"""Mails to be sent: a durable queue, written with the position it follows from.

In order for each recipient, and nobody waits for another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, or_, select, update

from chargekey_common import database
from chargekey_common.database import Database
from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_notifier.mails.kinds import AT_ANY_TIME, Mail
from chargekey_notifier.mails.tables import HANDLED, MAILS, SET_ASIDE, TABLES, WAITS

HOUR = 3600 * 10**9
# Nanoseconds after which nobody is told any more. A stream that is read from its beginning,
# as by a new version that has a reaction more, tells of years.
TOLD_WITHIN = 4 * 24 * HOUR
SENT = "sent"
SPREAD = "spread"
GATHERED = "gathered"

_MAIL = tuple(MAILS.c[name] for name in Mail.__struct_fields__)


def is_late(mail: Mail, *, now: int) -> bool:
    """Whether it is of no use any more (ns)."""
    return mail.kind not in AT_ANY_TIME and mail.due < now - TOLD_WITHIN


def _handled_last(reaction: str) -> Select[Any]:
    return select(HANDLED.c.service, HANDLED.c.generation, HANDLED.c.number).where(
        HANDLED.c.reaction == reaction
    )


class Outbox:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError.

    A file is one process's alone: StoreInUseError when another has it. On PostgreSQL
    any replica adds, and `on_added` tells of its own mails only; one sends at a time,
    because two would send everything twice: that is for who runs it to see to.
    """

    def __init__(self, where: Path | Postgres) -> None:
        self._listeners: list[Callable[[], None]] = []
        self.database = Database(where, TABLES, alone=True)
        self._new_mail = self.database.insert(MAILS).on_conflict_do_nothing()
        self._first_handled = self.database.insert(HANDLED).on_conflict_do_nothing()
        self._new_set_aside = self.database.insert(SET_ASIDE).on_conflict_do_nothing()

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, once before the first replica; harmless to repeat."""
        database.migrate(where, TABLES)

    def close(self) -> None:
        """Close the database, once what runs in it has ended."""
        self.database.close()

    def on_added(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the adding thread, after each mail that was added here."""
        self._listeners.append(listener)

    def add(self, handled: Handled, *mails: Mail) -> None:
        """Queue the mails together with the position handled; neither comes twice.

        The position tells what was handled in this life of the other service's
        store; the event's id tells it under every other generation too. Of two
        replicas that come with the same reaction the second waits for the first.
        """
        now = time.time_ns()
        with self.reacting(handled) as connection:
            if connection is None:
                return
            for mail in mails:
                if not is_late(mail, now=now):
                    self._queue(connection, mail, now=now)
        for listener in self._listeners:
            listener()

    @contextmanager
    def reacting(self, handled: Handled) -> Iterator[Connection | None]:
        """Commit what is written by the connection together with the position handled.

        None where the event is handled already.
        """
        with self.database.writing() as connection:
            yield connection if self._handle(connection, handled) else None

    def spread(self, mail: Mail, recipients: Collection[str]) -> None:
        """Queue one such mail for each of these in place of the mail to all of them."""
        now = time.time_ns()
        with self.database.writing() as connection:
            if not self._settle(connection, mail, SPREAD):
                return
            for recipient in recipients:
                self._queue(connection, msgspec.structs.replace(mail, recipient=recipient), now=now)
        for listener in self._listeners:
            listener()

    def _queue(self, connection: Connection, mail: Mail, *, now: int) -> None:
        row = msgspec.structs.asdict(mail) | {"due_at": mail.due}
        if mail.topic is not None:
            last = connection.execute(
                select(MAILS.c.due_at, MAILS.c.outcome)
                .where(
                    MAILS.c.topic == mail.topic,
                    MAILS.c.recipient == mail.recipient,
                    MAILS.c.kind == mail.kind,
                    or_(WAITS, MAILS.c.outcome.in_((SENT, SPREAD))),
                )
                .order_by(MAILS.c.due_at.desc())
                .limit(1)
            ).first()
            if last is not None:
                row["due_at"] = max(mail.due, last.due_at + HOUR)
                # Nobody is writing it yet, and whoever will looks up what is so then.
                if last.outcome is None and last.due_at > now:
                    row |= {"outcome": GATHERED, "settled_at": now}
        connection.execute(self._new_mail, row)

    def handled(self, reaction: str) -> Position | None:
        """Return how far the reaction has come, or None before its first event."""
        with self.database.reading() as connection:
            row = connection.execute(_handled_last(reaction)).first()
        return None if row is None else Position(*row)

    def set_aside(self, event: SetAside) -> None:
        """Set an event aside, together with its position handled; never twice."""
        row = msgspec.structs.asdict(event) | msgspec.structs.asdict(event.position)
        del row["position"]
        with self.database.writing() as connection:
            if self._handle(connection, Handled(event.reaction, event.position)):
                connection.execute(self._new_set_aside, row | {"about": event.about})

    def holds(self, reaction: str, about: str) -> bool:
        """Return whether an event about this is set aside."""
        found = select(SET_ASIDE.c.place).where(
            SET_ASIDE.c.reaction == reaction, SET_ASIDE.c.about == about
        )
        with self.database.reading() as connection:
            return connection.execute(found.limit(1)).first() is not None

    def set_aside_for(self, reaction: str) -> Sequence[SetAside]:
        """Return what the reaction has set aside, in the order it came."""
        found = select(SET_ASIDE).where(SET_ASIDE.c.reaction == reaction)
        with self.database.reading() as connection:
            rows = connection.execute(found.order_by(SET_ASIDE.c.place)).all()
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

    def due(self, *, now: int, busy: Collection[str] = (), most: int = 1) -> Sequence[Mail]:
        """Return mails to send by `now` (ns), the oldest of each recipient who is not `busy`.

        One that is to be tried again later holds back its recipient's others, but for links
        to sign in: somebody sits there and waits for it. They come before all else, and wait
        neither for others' mails nor for his own.
        """
        link, ready = MAILS.c.kind == "sign_in_link", MAILS.c.again_at <= now
        oldest = select(func.min(MAILS.c.number)).where(WAITS, MAILS.c.due_at <= now)
        first = oldest.group_by(MAILS.c.recipient)
        found = (
            select(*_MAIL)
            .where(or_(*(MAILS.c.number.in_(each) for each in (first, first.where(link, ready)))))
            .where(ready, MAILS.c.recipient.not_in(busy))
            .order_by(~link, MAILS.c.number)
            .limit(most)
        )
        with self.database.reading() as connection:
            rows = connection.execute(found).all()
        mails: dict[str, Mail] = {}
        for mail in (Mail(*row) for row in rows):
            mails.setdefault(mail.recipient, mail)  # a link comes beside its recipient's oldest
        return list(mails.values())

    def waiting(self, *, now: int | None = None) -> int:
        """Return how many mails wait that could have been sent by `now` (ns), or at all."""
        found = select(func.count()).select_from(MAILS).where(WAITS)
        if now is not None:
            found = found.where(MAILS.c.due_at <= now)
        with self.database.reading() as connection:
            return connection.execute(found).scalar_one()

    def attempts(self, mail: Mail) -> int:
        """Return how often it could not be sent."""
        with self.database.reading() as connection:
            found = connection.execute(select(MAILS.c.attempts).where(_is(mail)))
            return found.scalar_one_or_none() or 0

    def postpone(self, mail: Mail, *, until: int) -> None:
        """Count an attempt; the next is not made before `until` (ns)."""
        with self.database.writing() as connection:
            connection.execute(
                update(MAILS)
                .where(_is(mail), WAITS)
                .values(attempts=MAILS.c.attempts + 1, again_at=until)
            )

    def settle(self, mail: Mail, outcome: str) -> None:
        """Mark the mail: `sent`, or why it was dropped; it never comes first again.

        What it was marked with first stays.
        """
        with self.database.writing() as connection:
            self._settle(connection, mail, outcome)

    def _settle(self, connection: Connection, mail: Mail, outcome: str) -> bool:
        settled = (
            update(MAILS).where(_is(mail), WAITS).values(outcome=outcome, settled_at=time.time_ns())
        )
        return bool(connection.execute(settled).rowcount)

    def _handle(self, connection: Connection, handled: Handled) -> bool:
        """Mark the event as handled, or return False where it is so already."""
        if handled.again is not None:
            taken_out = delete(SET_ASIDE).where(
                SET_ASIDE.c.reaction == handled.reaction,
                SET_ASIDE.c.event_id == handled.again,
            )
            return bool(connection.execute(taken_out).rowcount)
        if self._locked(connection, handled).includes(handled.position):
            return False
        connection.execute(
            update(HANDLED)
            .where(HANDLED.c.reaction == handled.reaction)
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


def _is(mail: Mail) -> ColumnElement[bool]:
    return and_(
        MAILS.c.event_id == mail.event_id,
        MAILS.c.recipient == mail.recipient,
        MAILS.c.kind == mail.kind,
    )
