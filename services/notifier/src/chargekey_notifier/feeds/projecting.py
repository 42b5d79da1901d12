"""From the streams into the feeds.

What is told, what that follows from and how far was read are one transaction. Whatever fails
in between, the memory is dropped and read again, and the streams are read on from the bookmarks
that are stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import msgspec
import nats.errors
import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import Connection, bindparam, delete, select

from chargekey_common import jetstream
from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.follower import Message
from chargekey_common.jetstream import Bus, StreamClient
from chargekey_common.positions import MalformedPositionError, Position
from chargekey_common.published import access, chargers, identity, sessions
from chargekey_common.published.envelope import (
    POSITION_HEADER,
    Attributes,
    Catalogue,
    PublishedEvent,
    attributes,
)
from chargekey_common.relay import END, GENERATION
from chargekey_common.standing import Standing
from chargekey_notifier.feeds.memory import Bookmark, Memory
from chargekey_notifier.feeds.merging import PART, STREAMS, Arrived, Merging
from chargekey_notifier.feeds.restoring import restored
from chargekey_notifier.feeds.scopes import Happened, Scopes
from chargekey_notifier.feeds.store import AT_ONCE, STATE, Feeds, Telling

A_BATCH = 500
# Seconds: what ends by itself is looked for as often.
TICK = 1.0
FIRST_DELAY = 0.2  # seconds before a refused write is tried again, doubled each time
LONGEST_DELAY = 30.0
NUMBERS = range(-(2**63), 2**63)  # as a time in nanoseconds, the years 1678 to 2262
LONGEST_TEXT = 500  # characters; PostgreSQL's indexes take some more
# The row that counts who has begun to write: every writer stands by its own number.
TURN = "turn"

_DROP = delete(STATE).where(
    STATE.c.kind == bindparam("gone_kind"), STATE.c.id == bindparam("gone_id")
)
_CATALOGUE = Catalogue(*access.EVENTS, *identity.EVENTS, *sessions.EVENTS, *chargers.EVENTS)
_SKIPPED = Counter(
    "feed_events_skipped_total", "Events of an unknown type, or unreadable ones.", ["why"]
)
_UNKNOWN, _UNREADABLE = _SKIPPED.labels("unknown"), _SKIPPED.labels("unreadable")
_TOLD = Counter("feed_events_told_total", "Events that partners were told of.")
_LAG = Gauge("feed_lag_events", "Events in the streams that partners were not told of yet.")

log = structlog.get_logger()


class SupersededError(Exception):
    """Another process writes the feeds by now: what is in this one's memory is nobody's."""


class Projector:
    """Fills the feeds for as long as it runs; one at a time, and a second one does no harm."""

    def __init__(
        self,
        feeds: Feeds,
        bus: Bus,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Let access end by `clock`, which tells nanoseconds since the epoch."""
        self._feeds = feeds
        self._bus = bus
        self._clock = clock
        self.caught_up = False
        self._merging: Merging | None = None

    async def standings(self) -> Sequence[Standing]:
        """Ask how far the feeds are; nobody can tell where another process fills them."""
        if self._merging is None:
            return [Standing(PART, stream) for stream in STREAMS]
        return await self._merging.standings()

    async def run(self) -> None:
        """Project until cancelled."""
        client = await jetstream.connect(self._bus, "notifier-feeds")
        try:
            delay = FIRST_DELAY
            while True:
                try:
                    projection = await asyncio.to_thread(Projection, self._feeds)
                    delay = FIRST_DELAY
                    await self._read_on(client, projection)
                except (DatabaseUnavailableError, SupersededError) as error:
                    log.warning("feeds_not_written", again_in=delay, error=type(error).__name__)
                self.caught_up = False
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
        finally:
            self.caught_up = False
            await jetstream.close(client)

    async def _read_on(self, client: StreamClient, projection: Projection) -> NoReturn:
        self._merging = merging = Merging(client, projection.bookmarks)
        async with merging.reading():
            while True:
                left = await merging.take(A_BATCH, within=TICK)
                if not left and merging.caught_up:
                    await asyncio.to_thread(projection.expire, self._clock())
                while left:
                    left = await asyncio.to_thread(projection.project, left)
                    if left:
                        left = await self._hear_again(client, projection, merging, left)
                self.caught_up = merging.caught_up
                _LAG.set(merging.lag)

    async def _hear_again(
        self,
        client: StreamClient,
        projection: Projection,
        merging: Merging,
        left: Sequence[Arrived],
    ) -> Sequence[Arrived]:
        """Read what a restored service tells, all of it, before anything is told of it.

        `left` begins with its first message; returns what is left of the other streams.
        """
        stream = left[0].stream
        heard = Heard(projection, left[0])
        end = await _last_number(client, stream, heard.bookmark.generation)
        mine: Sequence[Arrived] = [each for each in left if each.stream == stream]
        while mine or heard.bookmark.number < end or not merging.is_at_end(stream):
            await asyncio.to_thread(heard.apply, mine)
            mine = await merging.take_of(stream, A_BATCH, within=TICK)
        await asyncio.to_thread(projection.adopt, heard, self._clock())
        return [each for each in left if each.stream != stream]


async def _last_number(client: StreamClient, stream: str, generation: str) -> int:
    """Return the number of the last event that the store held when its relay began.

    Raises SupersededError where the stream is another generation's by now.
    """
    while True:
        try:
            info = await jetstream.cancellably(client.jetstream().stream_info(stream))
        except (nats.errors.Error, OSError) as error:
            log.info("stream_not_seen", stream=stream, error=type(error).__name__)
            await asyncio.sleep(FIRST_DELAY)
            continue
        metadata = info.config.metadata or {}
        if metadata.get(GENERATION, generation) != generation:
            raise SupersededError
        return int(metadata.get(END, "0"))


class Projection:
    """The memory of one run, and the writing of it; blocking, and one call at a time.

    What fails leaves it unusable. Raises DatabaseUnavailableError and SupersededError.
    """

    def __init__(self, feeds: Feeds) -> None:
        """Read what is stored, and be from here on the one that writes."""
        self._feeds = feeds
        self.memory = Memory()
        put = feeds.database.insert(STATE)
        self._put = put.on_conflict_do_update(
            index_elements=[STATE.c.kind, STATE.c.id], set_={"value": put.excluded.value}
        )
        turn = {"kind": TURN, "id": TURN}
        with feeds.database.writing() as connection:
            # A row that is not there yet could be locked by nobody, and two would take one turn.
            connection.execute(put.on_conflict_do_nothing(), {**turn, "value": b"0"})
            self._turn = _turn(connection) + 1
            connection.execute(self._put, {**turn, "value": str(self._turn).encode()})
            rows = connection.execute(
                select(STATE.c.kind, STATE.c.value).where(STATE.c.kind != TURN)
            )
            self.memory.load((kind, value) for kind, value in rows)
        self._scopes = Scopes(self.memory)

    @property
    def bookmarks(self) -> Mapping[str, Bookmark]:
        """How far each stream has been read."""
        return {stream: self.bookmark(stream) for stream in STREAMS}

    def bookmark(self, stream: str) -> Bookmark:
        """How far the stream has been read."""
        return self.memory.bookmarks.get(stream) or Bookmark(id=stream)

    def project(self, arrived: Sequence[Arrived]) -> Sequence[Arrived]:
        """Tell what follows from these; return those from the first on of another generation."""
        told: list[Telling] = []
        left: Sequence[Arrived] = ()
        for index, each in enumerate(arrived):
            if self._is_of_another_generation(each):
                left = arrived[index:]
                break
            happened = self._next(each)
            if happened is not None:
                told.extend(self._scopes.apply(happened))
        self._tell(told)
        return left

    def expire(self, now: int) -> None:
        """End what has ended by now."""
        if self._scopes.ends_by(now):
            self._tell(self._scopes.expire(now))

    def adopt(self, heard: Heard, now: int) -> None:
        """Go on with what a restored service has told, and tell what is otherwise by it."""
        heard.memory.bookmarks.put(heard.bookmark)
        told = restored(self.memory, heard.memory, cause=heard.bookmark.generation, at=now)
        heard.memory.note_changes(self.memory)
        self.memory = heard.memory
        self._scopes = Scopes(self.memory)
        self._tell(told)

    def _tell(self, told: Sequence[Telling]) -> None:
        """Write what is told together with what the memory has come to."""
        changes = self.memory.changes()
        put = [
            {"kind": kind, "id": row_id, "value": value}
            for kind, row_id, value in changes
            if value is not None
        ]
        gone = [
            {"gone_kind": kind, "gone_id": row_id}
            for kind, row_id, value in changes
            if value is None
        ]
        # Nothing is thought about in between: PostgreSQL ends transactions that rest.
        with self._feeds.telling() as (connection, telling):
            if _turn(connection) != self._turn:
                raise SupersededError
            for statement, of in ((self._put, put), (_DROP, gone)):
                for first in range(0, len(of), AT_ONCE):
                    connection.execute(statement, of[first : first + AT_ONCE])
            telling.extend(told)
        _TOLD.inc(len(told))

    def _is_of_another_generation(self, arrived: Arrived) -> bool:
        position = _position(arrived.message)
        known = self.bookmark(arrived.stream)
        return bool(position and known.generation and position.generation != known.generation)

    def _next(self, arrived: Arrived) -> Happened | None:
        """Note that the message has been read; return what it says, unless that is known."""
        known = self.bookmark(arrived.stream)
        position = _position(arrived.message)
        told_before = False
        again_until = known.again_until
        if arrived.made != known.made or arrived.message.sequence <= known.sequence:
            again_until = known.newest
        number, generation = known.number, known.generation
        if position is not None:
            told_before = position.number <= number
            number, generation = max(number, position.number), position.generation
        self.memory.bookmarks.put(
            Bookmark(
                id=arrived.stream,
                made=arrived.made,
                sequence=arrived.message.sequence,
                generation=generation,
                number=number,
                newest=max(known.newest, arrived.at),
                again_until=again_until,
            )
        )
        if told_before:
            return None
        happened = read(arrived)
        if happened is None or position is not None:
            return happened
        return msgspec.structs.replace(happened, again=arrived.at <= again_until)


class Heard:
    """What a service tells that was restored, heard from its beginning; nothing is told of it."""

    def __init__(self, projection: Projection, first: Arrived) -> None:
        """Begin with what the other services have told."""
        position = _position(first.message)
        self.bookmark = Bookmark(
            id=first.stream,
            generation="" if position is None else position.generation,
            newest=projection.bookmark(first.stream).newest,
        )
        self.memory = projection.memory.without(first.stream)
        self._scopes = Scopes(self.memory)

    def apply(self, arrived: Sequence[Arrived]) -> None:
        """Hear more; raises SupersededError where it was restored again."""
        for each in arrived:
            position = _position(each.message)
            known = self.bookmark
            if position is not None and position.generation != known.generation:
                raise SupersededError
            number = known.number if position is None else position.number
            self.bookmark = msgspec.structs.replace(
                known,
                made=each.made,
                sequence=each.message.sequence,
                number=max(known.number, number),
                newest=max(known.newest, each.at),
            )
            if number > known.number and (happened := read(each)) is not None:
                self._scopes.apply(happened)


def read(arrived: Arrived) -> Happened | None:
    """Return what a message says; None, counted, for what nobody can read here."""
    message = arrived.message
    try:
        event = _CATALOGUE.decode(message.subject, message.data)
        if event is None:
            _UNKNOWN.inc()
            return None
        about = attributes(message.headers)
        _require_tellable(event, about)
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        _UNREADABLE.inc()
        log.error(  # noqa: TRY400 - the traceback would show the payload
            "poison_event",
            stream=arrived.stream,
            sequence=message.sequence,
            error=type(error).__name__,
        )
        return None
    return Happened(about.id, about.at, event)


def _require_tellable(event: PublishedEvent, about: Attributes) -> None:
    """Raise ValueError for what no row holds, or no document."""
    if event.stream in {"access", "identity"} and about.position is None:
        reason = "an event of a store without its position"
        raise ValueError(reason)
    for value in (about.id, *msgspec.structs.astuple(event)):
        if isinstance(value, int) and value not in NUMBERS:
            reason = "a number of more than 64 bits"
            raise ValueError(reason)
        if isinstance(value, str) and ("\0" in value or len(value) > LONGEST_TEXT):
            reason = "a text that PostgreSQL refuses"
            raise ValueError(reason)


def _position(message: Message) -> Position | None:
    """Return the position of a message that has a readable one."""
    try:
        return Position.parse(message.headers.get(POSITION_HEADER, ""))
    except MalformedPositionError:
        return None


def _turn(connection: Connection) -> int:
    """Return how often somebody has begun to write, and let nobody begin before this ends."""
    found = select(STATE.c.value).where(STATE.c.kind == TURN, STATE.c.id == TURN)
    value: bytes = connection.execute(found.with_for_update()).scalar_one()
    return int(value)
