"""What was done about a thing: its events, newest first, as they are published.

What is sealed is never opened for this, and of an event only what its stream is told
is shown: no name, no code and no hash can stand in the answer.

An event is about what it names by an id: `charger_id`, `from_user_id`. Of a kind that it
does not name, it is about what the first event of its aggregate named: an invitation's
acceptance about the installation that the invitation named. And what is about a user who
belongs to an installation, as the first event about him said, is about that, too.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import structlog
from eventsourcing.persistence import Notification

from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore, StoreUnavailableError
from chargekey_common.positions import Position
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.relay import Publication

CHUNK = 1000
RETRY = 1.0

KINDS = ("installation", "charger", "permission", "partner", "user")

Named = Mapping[str, Sequence[str]]
"""Ids by their kind, of those kinds that are named."""

log = structlog.get_logger()


class Change(msgspec.Struct, frozen=True):
    """An event as whoever owns its object may see it; `number` is its place in the log."""

    id: str
    number: int
    position: Position
    at: int
    actor: str
    cause: str
    event: str
    subject_id: str
    fields: Mapping[str, str]


class Changes:
    """Knows of each object the numbers of its events, and reads these again when asked.

    Safe from any thread. `of` blocks, as it reads the store; what `run` and `catch_up`
    have read before, it need not.
    """

    def __init__(self, store: EventStore, publish: Callable[[Record], Publication]) -> None:
        self._store = store
        self._publish = publish
        self._lock = threading.Lock()
        self._catching_up = asyncio.Lock()
        self._number = 0
        self._numbers: dict[str, array[int]] = defaultdict(lambda: array("q"))
        # What the first event of each aggregate named, beside the aggregate itself.
        self._first: dict[str, Named] = {}

    async def run(self) -> None:
        """Keep up with the log, until cancelled: after a start it takes the longest."""
        loop, saved = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: object) -> None:
            loop.call_soon_threadsafe(saved.set)

        self._store.on_saved(wake)
        while True:
            saved.clear()
            try:
                await self.catch_up()
            except StoreUnavailableError:
                log.info("changes_wait", service=self._store.service)
                await asyncio.sleep(RETRY)
                continue
            await saved.wait()

    async def catch_up(self) -> None:
        """Read on to the log's end, on one thread however many ask; raises StoreUnavailableError.

        Whoever waits for his turn occupies none.
        """
        async with self._catching_up:
            while await asyncio.to_thread(self._read_some):
                pass

    def of(self, obj: str, limit: int, *, before: int | None = None) -> Sequence[Change]:
        """Return an object's newest changes, those with a number less than `before`."""
        while self._read_some():
            pass
        with self._lock:
            numbers = self._numbers.get(obj, array("q"))
            end = len(numbers) if before is None else bisect_left(numbers, before)
            wanted = numbers[max(0, end - limit) : end]
        return [self._change(row) for row in reversed(self._store.rows_of(wanted))]

    def _read_some(self) -> bool:
        """Return whether there may be more to read."""
        with self._lock:
            rows = self._store.rows(self._number, CHUNK)
            for row in rows:
                record = self._store.record(row, personal=False)
                named = _named(self._publish(record).event)
                if record.originator_version == 1 and (beside := _beside(record, named)):
                    self._first[record.originator_id] = beside
                first = self._first.get(record.originator_id, {})
                for obj in self._objects({**first, **named}):
                    self._numbers[obj].append(row.id)
                self._number = row.id
        return len(rows) == CHUNK

    def _objects(self, about: Named) -> Iterator[str]:
        """Yield each object once, as access's Check knows it."""
        for kind in KINDS:
            for key in about.get(kind, ()):
                yield f"{kind}:{key}"
        sites = set(about.get("installation", ()))
        for user_id in about.get("user", ()):
            home = self._first.get(user_id, {}).get("installation", ())
            for site in {*sites, *home}:
                yield f"user:{user_id}/installation:{site}"
                if site not in sites:
                    yield f"installation:{site}"

    def _change(self, row: Notification) -> Change:
        record = self._store.record(row, personal=False)
        event = self._publish(record).event
        _, subject = event.about
        return Change(
            id=record.event_id,
            number=row.id,
            position=self._store.position(row.id),
            at=record.at,
            actor=record.actor,
            cause=record.cause,
            event=type(event).__name__,
            subject_id=getattr(event, subject),
            fields={
                name: _text(value)
                for name in event.__struct_fields__
                if name != subject and (value := getattr(event, name)) is not None
            },
        )


def _named(event: PublishedEvent) -> Named:
    found: dict[str, list[str]] = defaultdict(list)
    for name in event.__struct_fields__:
        kind = name.removesuffix("_id").rpartition("_")[2]
        value = getattr(event, name)
        if name.endswith("_id") and kind in KINDS and value and value not in found[kind]:
            found[kind].append(value)
    return {kind: keys for kind, keys in found.items() if keys}


def _beside(record: Record, named: Named) -> Named:
    """Return what later events of the aggregate leave out: each names the aggregate itself."""
    return {
        kind: [sys.intern(key) for key in keys]  # thousands may name one installation
        for kind, keys in named.items()
        if record.originator_id not in keys
    }


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list() | tuple():
            return ", ".join(map(_text, value))
        case _:
            return str(value)
