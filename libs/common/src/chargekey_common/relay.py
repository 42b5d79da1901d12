"""The relay: what is in the store is in the stream, in order, once, whatever happens.

The event store is the outbox and the stream is its own bookmark: there is no
tracking table. The relay reads the notification log in order and publishes with
the stream's last sequence as its expectation, one atomic batch in flight. What this
process has just saved directly behind the last event told it need not read. Each
message carries the position and the hash of the record it came from, so at the
start, after every refusal and after every silence the relay reads the stream's
last message, compares, and goes on behind it. A zombie's batch is refused by the
stream itself. A stream that lost its tail or its disk is refilled.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence

import msgspec
import nats.errors
import structlog
from eventsourcing.persistence import Notification
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import NotFoundError as NothingThereError
from opentelemetry.trace import SpanKind
from prometheus_client import Gauge

from chargekey_common import tracing
from chargekey_common.errors import CannotRunError
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore, Logged, StoreUnavailableError
from chargekey_common.jetstream import (
    WRONG_LAST_SEQUENCE,
    BatchRefusedError,
    BatchUnansweredError,
    OutMessage,
    ensure_stream,
    publish_atomically,
)
from chargekey_common.positions import MalformedPositionError, Position
from chargekey_common.process import set_within
from chargekey_common.published.envelope import (
    POSITION_HEADER,
    RECORD_HEADER,
    Attributes,
    PublishedEvent,
    headers,
)
from chargekey_common.standing import Standing, told

MAX_EVENTS_A_BATCH = 100
POLL = 1.0
RETRY = 0.25
# Seconds that a process that ends has for what is not in the stream yet.
FINISH = 2.0
# In a stream's metadata: whose it is, and the number of the last event its store held
# when the relay began. A stream that is being refilled is there before it is full.
GENERATION = "chargekey-generation"
END = "chargekey-end"
# The bus or the store is away: both come back.
_PASSING = (
    BatchRefusedError,
    BatchUnansweredError,
    StoreUnavailableError,
    nats.errors.Error,
    OSError,
)

_LAG = Gauge("relay_lag_events", "Events in the store that are not yet in the stream.", ["stream"])
_OLDEST = Gauge(
    "relay_oldest_seconds", "Age of the oldest event that is not yet in the stream.", ["stream"]
)

log = structlog.get_logger()


class DivergedError(CannotRunError):
    """The stream holds a record that the store does not, or is another store's by now.

    Somebody has to look.
    """

    def __init__(self, stream: str) -> None:
        service = stream.lower()
        super().__init__(
            f"The stream {stream} and the store of {service} tell different stories. If the"
            " store was restored from a backup, end everything, run"
            f" `chargekey restored {service}` once, and start again."
        )


class StreamOfAnotherError(DivergedError):
    """Another life of this store, started later, publishes to the stream by now."""

    def __init__(self, stream: str) -> None:
        CannotRunError.__init__(
            self,
            f"The stream {stream} is filled from another generation of this store, which was"
            " started later: end that one, or leave this one ended.",
        )


class StoreEmptyError(DivergedError):
    """A lost volume, and not a restore."""

    def __init__(self, stream: str) -> None:
        CannotRunError.__init__(
            self,
            f"The store of {stream.lower()} is empty beside a full stream: bring its data back,"
            " or begin with an empty bus too.",
        )


class Publication(msgspec.Struct, frozen=True):
    """What one stored event becomes in the stream.

    `private` messages travel before the event, in its batch. `erased` are the
    private subjects whose earlier messages are securely deleted before it.
    """

    event: PublishedEvent
    private: Sequence[PublishedEvent] = ()
    erased: Sequence[str] = ()


class Relay:
    """Publishes one service's store; run it once a store."""

    def __init__(
        self,
        client: Client,
        store: EventStore,
        publish: Callable[[Record], Publication],
        *,
        replicas: int = 1,
    ) -> None:
        self.stream = store.service.upper()
        self._subjects = f"{store.service}.v1.>"
        self._client = client
        self._js = client.jetstream(timeout=5)
        self._store = store
        self._publish = publish
        self._replicas = replicas
        self._declared = False
        self._number = 0  # of the last event known to be in the stream
        self._found = False  # whether that is known
        self._running = False
        self._saved: list[Logged] = []  # by this process, as it was heard
        self._unheard = True  # whether the store may hold more than is in the stream and that
        self._told = asyncio.Event()
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        store.on_saved(self._on_saved)

    def _on_saved(self, saved: Sequence[Logged]) -> None:
        self._loop.call_soon_threadsafe(self._hear, saved)

    def _hear(self, saved: Sequence[Logged]) -> None:
        # What is personal is read: its user may be erased by now, and it is in no memory for long.
        personal = any(record.event.personal for _, record, _ in saved)
        has_room = self._running and len(self._saved) < MAX_EVENTS_A_BATCH
        if saved and has_room and not personal:
            self._saved += saved
        else:
            self._unheard = True
        self._woken.set()

    async def run(self) -> None:
        """Relay until cancelled; raises DivergedError where only a person can decide."""
        self._running = True
        try:
            await self._relay_always()
        finally:
            self._running = False
            self._saved.clear()
            # Whoever relays after this one tells it.
            _LAG.remove(self.stream)
            _OLDEST.remove(self.stream)

    async def _relay_always(self) -> None:
        while True:
            try:
                await self._relay()
            except _PASSING as error:
                log.info("relay_retries", stream=self.stream, error=str(error) or repr(error))
                with contextlib.suppress(StoreUnavailableError):
                    if self._found:
                        await self._pending(1)
                await asyncio.sleep(RETRY)

    async def _relay(self) -> None:
        await self._declare()
        sequence = await self._find_bookmark()
        self._unheard = True
        while True:
            self._woken.clear()
            pending = await self._next()
            if not pending:
                if not await set_within(self._woken, POLL):
                    sequence = await self._find_bookmark()
                    self._unheard = True
                continue
            for batch in self._batches(pending):
                sequence = await self._send(batch, sequence)
                self._number = batch[-1][0]
                self._told.set()

    async def finish(self) -> None:
        """Return once the stream has all that is stored by now, or after FINISH seconds.

        At once where this relay does not run. What it leaves, the next one tells.
        """
        with contextlib.suppress(TimeoutError, StoreUnavailableError):
            async with asyncio.timeout(FINISH):
                end = await asyncio.to_thread(self._store.end)
                while self._running and self._number < end:
                    self._told.clear()
                    await self._told.wait()

    async def _next(self) -> Sequence[Logged]:
        """Return what is not in the stream yet, and tell how much and how old that is."""
        end = max((self._number, *(number for number, _, _ in self._saved)))
        pending = self._heard()
        if pending or not self._unheard:
            self._tell_lag(pending, end)
            return pending
        # Before it is read: who saves meanwhile says so.
        self._unheard = False
        pending = await self._pending(MAX_EVENTS_A_BATCH)
        if len(pending) == MAX_EVENTS_A_BATCH:
            self._unheard = True
        return pending

    def _heard(self) -> Sequence[Logged]:
        """Return what is heard of directly behind the last event told, and forget all of it."""
        following: list[Logged] = []
        for logged in self._saved:
            place = logged[0] - self._number
            if place == len(following) + 1 <= MAX_EVENTS_A_BATCH:
                following.append(logged)
            elif place > len(following):
                self._unheard = True
        self._saved.clear()
        return following

    async def _pending(self, limit: int) -> Sequence[Logged]:
        """Read what is not in the stream yet, and tell how much and how old that is."""

        def read() -> tuple[Sequence[Logged], int]:
            pending = self._store.read(self._number, limit)
            if len(pending) == limit:
                return pending, self._store.end()
            return pending, pending[-1][0] if pending else self._number

        pending, end = await asyncio.to_thread(read)
        # Not on the thread, which goes on after this relay was told to end.
        self._tell_lag(pending, end)
        return pending

    def _tell_lag(self, pending: Sequence[Logged], end: int) -> None:
        age = time.time_ns() - pending[0][1].at if pending else 0
        _OLDEST.labels(self.stream).set(max(0, age) / 1e9)
        _LAG.labels(self.stream).set(end - self._number)

    async def _declare(self) -> None:
        """Make the stream this generation's own; another generation's is filled anew.

        Taken over at the start alone: of two stores that both run, the one that was
        started last keeps it.
        """
        # A stream made again counts from higher up, so that nobody who expects an
        # earlier one's end can meet this one's.
        first = time.time_ns() // 1000
        config = StreamConfig(
            name=self.stream,
            subjects=[self._subjects],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=self._replicas,
            allow_atomic=True,
            allow_direct=False,
            deny_purge=False,
            metadata={
                GENERATION: self._store.recorder.generation,
                END: str(await asyncio.to_thread(self._store.end)),
            },
            first_seq=first,
        )
        try:
            info = await self._js.stream_info(self.stream)
        except NothingThereError:
            pass
        else:
            config.first_seq = info.config.first_seq
            if self._declared:
                self._require_own(info)
            elif not self._is_own(info):
                await self._require_filled(info)
                log.warning("stream_of_another_generation", stream=self.stream)
                await self._js.delete_stream(self.stream)
                config.first_seq = first
        await ensure_stream(self._js, config)
        self._declared = True

    def _is_own(self, info: StreamInfo) -> bool:
        return (info.config.metadata or {}).get(GENERATION) == self._store.recorder.generation

    def _require_own(self, info: StreamInfo) -> None:
        if not self._is_own(info):
            log.error("stream_taken_over", stream=self.stream)
            raise StreamOfAnotherError(self.stream)

    async def _require_filled(self, info: StreamInfo) -> None:
        """Take no full stream over with an empty store: that is a lost volume, not a restore."""
        if info.state.messages and not await asyncio.to_thread(self._store.end):
            log.error("store_empty_beside_full_stream", stream=self.stream)
            raise StoreEmptyError(self.stream)

    async def _find_bookmark(self) -> int:
        """Find the last relayed event's number; return the stream's last sequence."""
        info = await self._js.stream_info(self.stream)
        self._require_own(info)
        end = info.state.last_seq
        try:
            # Not by ">": the server takes that for the message at the stream's end, and
            # finds nothing when just that one was deleted.
            last = await self._js.get_last_msg(self.stream, self._subjects)
        except NothingThereError:
            self._number, self._found = 0, True
            return end
        message_headers = last.headers or {}
        if POSITION_HEADER not in message_headers:
            raise DivergedError(self.stream)
        position = Position.parse(message_headers[POSITION_HEADER])
        known = await asyncio.to_thread(self._store.read, position.number - 1, 1)
        if (
            not known
            or self._store.position(known[0][0]) != position
            or record_hash(known[0][2]) != message_headers[RECORD_HEADER]
        ):
            log.error("stream_diverged", stream=self.stream, position=str(position))
            raise DivergedError(self.stream)
        # A tail may be lost in the middle of a batch: a private message that came
        # without its event is told again, together with the event.
        whole = last.subject == self._publish(known[0][1]).event.subject
        self._number = position.number if whole else position.number - 1
        self._found = True
        return end

    def _batches(
        self, pending: Sequence[Logged]
    ) -> Sequence[Sequence[tuple[int, Publication, Sequence[OutMessage]]]]:
        """Split at every erasure, which must find its message stored to delete it."""
        batches: list[list[tuple[int, Publication, Sequence[OutMessage]]]] = []
        for number, record, notification in pending:
            publication = self._publish(record)
            if publication.erased or not batches:
                batches.append([])
            batches[-1].append(
                (
                    number,
                    publication,
                    messages(self._store, number, record, notification, publication),
                )
            )
        return batches

    async def _send(
        self, batch: Sequence[tuple[int, Publication, Sequence[OutMessage]]], sequence: int
    ) -> int:
        for _, publication, _ in batch:
            for subject in publication.erased:
                await self._erase(subject, sequence)
        outgoing = [message for _, _, told in batch for message in told]
        traces = (each.headers.get(tracing.HEADER, "") for each in outgoing)
        with tracing.after(f"publish {self.stream}", SpanKind.PRODUCER, traces):
            return await publish_atomically(
                self._client,
                outgoing,
                batch_id=uuid.uuid4().hex,
                expected_last_sequence=sequence,
            )

    async def _erase(self, subject: str, sequence: int) -> None:
        """Overwrite every message on a private subject, up to this sequence.

        Before the event that erases it is published: a crash in between repeats
        this, and finds nothing. What is newer than this relay knows is another's,
        told behind the event that this one is late with.
        """
        while True:
            try:
                found = await self._js.get_last_msg(self.stream, subject)
            except NothingThereError:
                return
            if found.seq is None or found.seq > sequence:
                raise BatchRefusedError(WRONG_LAST_SEQUENCE, "the stream has grown")
            await self._js.delete_msg(self.stream, found.seq)


async def relayed(client: Client, store: EventStore) -> Standing:
    """Ask how much of the store its stream tells, whichever replica relays it."""
    known = Standing("relay", store.service.upper(), store.recorder.generation)
    try:
        end = await asyncio.to_thread(store.end)
    except StoreUnavailableError:
        return known
    known = msgspec.structs.replace(known, last=end)
    return await told(_relayed(client, known)) or known


async def _relayed(client: Client, known: Standing) -> Standing:
    subjects = f"{known.stream.lower()}.v1.>"
    try:
        last = await client.jetstream().get_last_msg(known.stream, subjects)
    except NothingThereError:
        return msgspec.structs.replace(known, behind=known.last)
    try:
        position = Position.parse((last.headers or {}).get(POSITION_HEADER, ""))
    except MalformedPositionError:
        return known
    # Of another generation's events the stream holds none of this store's.
    number = position.number if position.generation == known.generation else 0
    return msgspec.structs.replace(
        known,
        applied=number,
        behind=max(0, known.last - number),
        moved_at=0 if last.time is None else int(last.time.timestamp() * 1e9),
    )


def messages(
    store: EventStore,
    number: int,
    record: Record,
    notification: Notification,
    publication: Publication,
) -> Sequence[OutMessage]:
    """Return what the stream is told about the record of this number, the event itself last."""
    about = Attributes(
        id=record.event_id,
        at=record.at,
        cause=record.cause,
        actor=record.actor,
        position=store.position(number),
        trace=record.trace,
    )
    mark = {RECORD_HEADER: record_hash(notification)}
    return [
        OutMessage(
            event.subject,
            msgspec.json.encode(event),
            headers(event, about, source=store.service) | mark,
        )
        for event in (*publication.private, publication.event)
    ]


def record_hash(notification: Notification) -> str:
    """Return what tells a stored record from every other: a hash of the row as stored."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (
        str(notification.originator_id),
        str(notification.originator_version),
        notification.topic,
    ):
        digest.update(part.encode() + b"\x00")
    digest.update(notification.state)
    return digest.hexdigest()
