"""Partners' feeds in tables: each numbered without a gap, each event with its final bytes.

Every door reads here and keeps its own place by number, so none waits for another. What a
feed told once it never tells again under another number: an event's id is remembered for
longer than its document.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)

from chargekey_common import database
from chargekey_common.database import ID, Database
from chargekey_common.postgres import Postgres
from chargekey_common.published.feed import FeedEvent, document

Thing = TypeVar("Thing")
# Rows a statement, so that none takes long and memory stays small.
AT_ONCE = 500

TABLES = MetaData()
FEEDS = Table(
    "feeds",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    # Of the newest event.
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
EVENTS = Table(
    "feed_events",
    TABLES,
    Column("partner_id", ID, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", ID, nullable=False),
    Column("event", Text, nullable=False),
    Column("told_at", BigInteger, nullable=False),
    # Absent once it is kept no longer.
    Column("document", LargeBinary),
    UniqueConstraint("partner_id", "id"),
    Index(
        "feed_events_by_time",
        "told_at",
        sqlite_where=text("document IS NOT NULL"),
        postgresql_where=text("document IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)
# What the feeds are made from beside the streams, as JSON: see `memory`.
STATE = Table(
    "feed_state",
    TABLES,
    Column("kind", ID, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
_KEPT = EVENTS.c.document.is_not(None)
_THIS = (EVENTS.c.partner_id == bindparam("of")) & (EVENTS.c.number == bindparam("at"))
_DROP = delete(EVENTS).where(_THIS)
_EMPTY = update(EVENTS).where(_THIS).values(document=None)
# What SESSIONS and CHARGERS tell; also where something else lets a partner hear of it.
_TOLD_ONCE = frozenset(
    {
        "SessionStarted",
        "SessionUpdated",
        "SessionEnded",
        "SessionCorrected",
        "AuthorizationRefused",
        "StartRefused",
        "ChargerConnected",
        "ChargerDisconnected",
        "ConnectorStatusChanged",
    }
)


class Entry(msgspec.Struct, frozen=True):
    """An event of a feed: `document` are the bytes that every door gives.

    `event` is its name; `number` counts from 1 in its partner's feed.
    """

    partner_id: str
    number: int
    id: str
    event: str
    document: bytes


class Ends(msgspec.Struct, frozen=True):
    """The numbers of the oldest event that is kept and of the newest."""

    first: int
    last: int


class Telling(msgspec.Struct, frozen=True, gc=False):
    """An event for one partner: `at` is when it happened, in nanoseconds since the epoch."""

    partner_id: str
    id: str
    at: int
    event: FeedEvent


_ENTRY = tuple(EVENTS.c[name] for name in Entry.__struct_fields__)


class Feeds:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError.

    A file is one process's alone. On PostgreSQL any replica reads, one writes at a time,
    and listeners hear of this process's writing only.
    """

    def __init__(self, where: Path | Postgres) -> None:
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self.database = Database(where, TABLES, alone=True)
        self._new_feed = self.database.insert(FEEDS).on_conflict_do_nothing()

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, once before the first replica; harmless to repeat."""
        database.migrate(where, TABLES)

    def close(self) -> None:
        """Close the database, once what runs in it has ended."""
        self.database.close()

    def on_told(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call `listener`, on the writing thread, with the partners that were told more."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def telling(self) -> Iterator[tuple[Connection, list[Telling]]]:
        """Commit what is written by the connection together with what is put in the list.

        Events are numbered in the list's order; one whose id the partner was told already
        is left out.
        """
        told: list[Telling] = []
        with self.database.writing() as connection:
            yield connection, told
            partners = frozenset(each.partner_id for each in told)
            more = {each for each in sorted(partners) if self._tell(connection, each, told)}
        if more:
            for listener in self._listeners:
                listener(frozenset(more))

    def _tell(self, connection: Connection, partner_id: str, told: Sequence[Telling]) -> bool:
        connection.execute(self._new_feed, {"partner_id": partner_id, "number": 0})
        mine = FEEDS.c.partner_id == partner_id
        number = connection.execute(select(FEEDS.c.number).where(mine).with_for_update())
        before: int = number.scalar_one()
        wanted = {each.id: each for each in told if each.partner_id == partner_id}
        # All before the first is inserted: PostgreSQL would go on by a plan made for few rows.
        for ids in _portions(list(wanted)):
            known = select(EVENTS.c.id).where(
                EVENTS.c.partner_id == partner_id, EVENTS.c.id.in_(ids)
            )
            for (event_id,) in connection.execute(known).all():
                del wanted[event_id]
        now = time.time_ns()
        for numbered in _portions(list(enumerate(wanted.values(), start=before + 1))):
            rows = [
                {
                    "partner_id": partner_id,
                    "number": number,
                    "id": each.id,
                    "event": type(each.event).__name__,
                    "told_at": now,
                    "document": document(
                        each.event,
                        partner_id=partner_id,
                        event_id=each.id,
                        number=number,
                        at=each.at,
                    ),
                }
                for number, each in numbered
            ]
            connection.execute(EVENTS.insert(), rows)
        connection.execute(update(FEEDS).where(mine).values(number=before + len(wanted)))
        return bool(wanted)

    def forget(self, before: int, most: int) -> int:
        """Forget up to `most` events told before then (ns), oldest first; return how many.

        The ids of what stores told stay: their streams are told anew whenever they are lost,
        SESSIONS and CHARGERS are not.
        """
        with self.database.writing() as connection:
            old = connection.execute(
                select(EVENTS.c.partner_id, EVENTS.c.number, EVENTS.c.event)
                .where(EVENTS.c.told_at < before, _KEPT)
                .order_by(EVENTS.c.told_at)
                .limit(most)
            ).all()
            told_once = [row for row in old if row.event in _TOLD_ONCE]
            told_anew = [row for row in old if row.event not in _TOLD_ONCE]
            for statement, rows in ((_DROP, told_once), (_EMPTY, told_anew)):
                if rows:
                    of = [{"of": row.partner_id, "at": row.number} for row in rows]
                    connection.execute(statement, of)
        return len(old)

    def partners(self) -> Sequence[str]:
        """Return who has a feed."""
        with self.database.reading() as connection:
            found = connection.execute(select(FEEDS.c.partner_id).order_by(FEEDS.c.partner_id))
            return [partner_id for (partner_id,) in found]

    def numbers(self) -> Mapping[str, int]:
        """Return the number of each feed's newest event, by partner."""
        with self.database.reading() as connection:
            found = connection.execute(select(FEEDS.c.partner_id, FEEDS.c.number))
            return {row.partner_id: row.number for row in found}

    def ends(self, partner_id: str) -> Ends | None:
        """Return how far the feed goes; None for one that nothing was told."""
        kept = select(func.min(EVENTS.c.number)).where(EVENTS.c.partner_id == partner_id, _KEPT)
        last = select(FEEDS.c.number, kept.scalar_subquery()).where(
            FEEDS.c.partner_id == partner_id
        )
        with self.database.reading() as connection:
            row = connection.execute(last).first()
        if row is None or not row[0]:
            return None
        return Ends(first=row[0] + 1 if row[1] is None else row[1], last=row[0])

    def read(self, partner_id: str, *, after: int = 0, limit: int = 100) -> Sequence[Entry]:
        """Return events behind this number, oldest first; those kept no longer are left out."""
        found = (
            select(*_ENTRY)
            .where(EVENTS.c.partner_id == partner_id, EVENTS.c.number > after, _KEPT)
            .order_by(EVENTS.c.number)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [Entry(*row) for row in connection.execute(found)]


def _portions(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    for first in range(0, len(things), AT_ONCE):
        yield things[first : first + AT_ONCE]
