"""Partners' feeds in tables: each numbered without a gap, each event with its final bytes.

Every door reads here and keeps its own place by number, so none waits for another. What a
feed told once it never tells again under another number: an event's id is remembered for
longer than its document.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

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
    func,
    select,
    update,
)

from chargekey_common import database
from chargekey_common.database import ID, Database
from chargekey_common.postgres import Postgres
from chargekey_common.published.feed import FeedEvent, document

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
    Index("feed_events_by_time", "told_at"),
    sqlite_with_rowid=False,
)
_KEPT = EVENTS.c.document.is_not(None)


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


class Telling(msgspec.Struct, frozen=True):
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
        last: int = number.scalar_one()
        wanted = {each.id: each for each in told if each.partner_id == partner_id}
        ids = sorted(wanted)
        for first in range(0, len(ids), 500):
            known = select(EVENTS.c.id).where(
                EVENTS.c.partner_id == partner_id, EVENTS.c.id.in_(ids[first : first + 500])
            )
            for (event_id,) in connection.execute(known).all():
                del wanted[event_id]
        if not wanted:
            return False
        now = time.time_ns()
        rows = [
            {
                "partner_id": partner_id,
                "number": number,
                "id": each.id,
                "event": type(each.event).__name__,
                "told_at": now,
                "document": document(
                    each.event, partner_id=partner_id, event_id=each.id, number=number, at=each.at
                ),
            }
            for number, each in enumerate(wanted.values(), start=last + 1)
        ]
        connection.execute(EVENTS.insert(), rows)
        connection.execute(update(FEEDS).where(mine).values(number=last + len(rows)))
        return True

    def partners(self) -> Sequence[str]:
        """Return who has a feed."""
        with self.database.reading() as connection:
            found = connection.execute(select(FEEDS.c.partner_id).order_by(FEEDS.c.partner_id))
            return [partner_id for (partner_id,) in found]

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

    def number_of(self, partner_id: str, event_id: str) -> int | None:
        """Return the number of the event with this id, also of one kept no longer."""
        found = select(EVENTS.c.number).where(
            EVENTS.c.partner_id == partner_id, EVENTS.c.id == event_id
        )
        with self.database.reading() as connection:
            number: int | None = connection.execute(found).scalar_one_or_none()
        return number
