"""Following a stream from a sequence on, in order, fast, through every interruption.

An ephemeral pull consumer without acknowledgements, read by overlapping pull
requests: ten times the speed of nats-py's own fetch. The consumer is made anew,
behind the last message handled, whenever it is gone, silent or skips a number.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import nats.errors
import structlog
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from opentelemetry.trace import SpanKind
from prometheus_client import Gauge

from chargekey_common import tracing
from chargekey_common.jetstream import Headers, StreamClient, Taken
from chargekey_common.process import set_within
from chargekey_common.relay import GENERATION
from chargekey_common.standing import Standing, told
from chargekey_common.telemetry import Reach

BATCH = 1024
EXPIRES = 30.0
HEARTBEAT = 1.0
RETRY = 0.25

_REPLICAS_AWAY = Gauge(
    "stream_replicas_away",
    "Copies of a stream that are away or not up to date, as its leader said last.",
    ["stream"],
)

log = structlog.get_logger()


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message of a stream at its sequence."""

    subject: str
    sequence: int
    data: bytes
    headers: Mapping[str, str]


class _InterruptedError(Exception):
    """The consumer cannot go on; make another."""


class Follower:
    """Hands the messages of one stream to `handle`, in order, each exactly once a run.

    `handle` gets a few hundred messages at a time and is awaited before the next
    ones are asked for, so a slow handler slows the reading, not the memory. A
    stream that was deleted and made again, or lost its tail, is read from its
    beginning: handlers recognise what they know by position. An exception of
    `handle` ends `run`.

    `after` is the sequence to start behind; `made` is when the stream it counts in
    was made, as this attribute said then: so a stream made again while nobody
    followed is noticed too.
    """

    def __init__(
        self,
        client: StreamClient,
        stream: str,
        handle: Callable[[Sequence[Message]], Awaitable[None]],
        *,
        after: int = 0,
        made: str | None = None,
        subjects: Sequence[str] = (),
    ) -> None:
        self.stream = stream
        self.sequence = after
        self.made = made
        self.caught_up = asyncio.Event()
        # How many messages the server has yet to hand over, as it said last: 0 is the end of
        # the stream. None while there is no consumer, and so nobody who would say it.
        self.pending: int | None = None
        # When something was handled last, in nanoseconds since the epoch; 0 before that.
        self.moved_at = 0
        self._consumer = ""
        self._handled = 0  # of what this consumer has delivered
        self._read_to = 0  # of the stream's own count: handled, or gone before it could be
        self._client = client
        self._js = client.jetstream()
        self._handle = handle
        self._subjects = list(subjects)
        self._target = 0
        self._buffer: list[Taken] = []
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except (_InterruptedError, nats.errors.Error, OSError) as error:
                log.debug("follower_interrupted", stream=self.stream, error=type(error).__name__)
                await asyncio.sleep(RETRY)

    @property
    def reach(self) -> Reach:
        """How far this is, from memory; nobody is asked."""
        left = self._read_to + (self.pending or 0)
        return Reach(applied=self._read_to, target=max(self._target, left))

    async def ahead(self) -> int | None:
        """Ask the stream how many sequences it holds that are not handled yet; 0: none.

        None where it is not the stream that is read from, or not any more. Only the stream's
        leader answers, so a server that is cut off from the others tells nothing. Whoever
        follows a part of the subjects is ahead of nobody by this. Raises nats' errors and OSError.
        """
        info = await self._js.stream_info(self.stream)
        _REPLICAS_AWAY.labels(self.stream).set(_away(info))
        if str(info.created) != self.made:
            return None
        return max(0, info.state.last_seq - self._read_to)

    async def standing(self, part: str) -> Standing:
        """Ask how far the stream goes, and how much of it is to come yet, for this part."""
        seen = await told(self._seen(part)) or Standing(part, self.stream)
        return msgspec.structs.replace(seen, applied=self.sequence, moved_at=self.moved_at)

    async def _seen(self, part: str) -> Standing:
        info = await self._js.stream_info(self.stream)
        generation = (info.config.metadata or {}).get(GENERATION, "")
        seen = Standing(part, self.stream, generation, last=info.state.last_seq)
        if not self._consumer or str(info.created) != self.made:
            return seen
        consumer = await self._js.consumer_info(self.stream, self._consumer)
        delivered = 0 if consumer.delivered is None else consumer.delivered.consumer_seq
        behind = (consumer.num_pending or 0) + max(0, delivered - self._handled)
        return msgspec.structs.replace(seen, behind=behind)

    async def _follow(self) -> None:
        consumer = await self._make_consumer()
        inbox = self._client.new_inbox()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{consumer}"
        request = msgspec.json.encode(
            {
                "batch": BATCH,
                "expires": int(EXPIRES * 1e9),
                "idle_heartbeat": int(HEARTBEAT * 1e9),
            }
        )
        self._buffer = []
        subscription = await self._client.take(inbox, self._arrive)
        try:
            await self._read(subject, request, inbox)
        finally:
            self.pending = None
            self._consumer = ""
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self.stream}.{consumer}")

    async def _make_consumer(self) -> str:
        info = await self._js.stream_info(self.stream)
        made = str(info.created)
        if self.made not in (None, made) or self.sequence > info.state.last_seq:
            log.info("stream_made_again", stream=self.stream)
            self.sequence = 0
            self._read_to = 0
        self.made = made
        self._target = info.state.last_seq
        created = await self._js.add_consumer(
            self.stream,
            ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self.sequence + 1,
                ack_policy=AckPolicy.NONE,
                filter_subjects=self._subjects or None,
                inactive_threshold=60,
                mem_storage=True,
                num_replicas=1,
            ),
        )
        # Not by sequences: an empty stream may begin high, and end on others' subjects.
        self.pending = created.num_pending
        self._consumer, self._handled = created.name, 0
        if created.num_pending == 0:
            self._read_to = max(self._read_to, self._target)
            self.caught_up.set()
        return created.name

    def _arrive(self, message: Taken) -> None:
        self._buffer.append(message)
        self._arrived.set()

    async def _read(self, subject: str, request: bytes, inbox: str) -> None:
        expected = 1
        wanted = 0  # messages asked for that have not come yet
        while True:
            # The next request goes out while half of one is still to come; one that idles is
            # enough, for each idles with heartbeats of its own.
            while wanted <= BATCH // 2:
                await self._client.publish(subject, request, reply=inbox)
                wanted += BATCH
            if not await set_within(self._arrived, HEARTBEAT * 3):
                raise _InterruptedError
            self._arrived.clear()
            arrived, self._buffer = self._buffer, []
            batch: list[Message] = []
            pending = b"1"
            for message in arrived:
                if not message.reply.startswith(b"$JS.ACK."):
                    wanted -= _expired(message)
                    continue
                # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence in stream>.<in consumer>
                # .<time>.<pending>
                tokens = message.reply.split(b".")
                if int(tokens[6]) != expected:
                    raise _InterruptedError
                expected += 1
                pending = tokens[8]
                batch.append(
                    Message(
                        message.subject.decode(),
                        int(tokens[5]),
                        message.data,
                        Headers(message.headers),
                    )
                )
            if batch:
                wanted -= len(batch)
                self.pending = int(pending)
                await self._hand_over(batch)
                self._handled += len(batch)
                self.moved_at = time.time_ns()
                self.sequence = batch[-1].sequence
                self._read_to = max(self._read_to, self.sequence)
                if pending == b"0":  # what ended the stream may have been deleted since
                    self._read_to = max(self._read_to, self._target)
                if self.sequence >= self._target or pending == b"0":
                    self.caught_up.set()

    async def _hand_over(self, batch: Sequence[Message]) -> None:
        # What is read again at a start follows from nothing that somebody is just doing.
        live = batch if self.caught_up.is_set() else ()
        traces = (message.headers.get(tracing.HEADER, "") for message in live)
        with tracing.after(f"read {self.stream}", SpanKind.CONSUMER, traces):
            await self._handle(batch)


def _away(info: StreamInfo) -> int:
    replicas = None if info.cluster is None else info.cluster.replicas
    return sum(bool(each.offline) or not each.current for each in replicas or ())


def _expired(status: Taken) -> int:
    """Return how many messages a pull request asked for in vain; 0 for a heartbeat."""
    match status.headers[len(b"NATS/1.0 ") :][:3]:
        case b"100":
            return 0
        case b"408":
            return int(Headers(status.headers).get("Nats-Pending-Messages", BATCH))
        case _:
            raise _InterruptedError
