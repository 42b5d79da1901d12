"""The last answer of every operator, for when it does not answer (the site's LAST_KNOWN).

A decision looks at memory only. What an operator says is in this replica's memory at
once; a task of its own puts it into a JetStream KV bucket, and `follow` brings in what
other replicas put there and what was there before a restart. The newest answer wins,
wherever it was written last. Keys are keyed hashes: nobody reads a token from the bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Callable, Sequence

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig

from chargekey_common.follower import Message
from chargekey_common.jetstream import ensure_stream
from chargekey_common.keyed_ids import classify
from chargekey_common.published.sessions import OperatorAnswer

BUCKET = "OPERATOR_ANSWERS"
STREAM = f"KV_{BUCKET}"
_PREFIX = f"$KV.{BUCKET}."
_KEY = re.compile(r"[0-9a-f]{32}")
_DAY = 24 * 3600 * 10**9
KEPT = 30 * _DAY
# The same answer again is not written again before: a tap is not a write.
FRESH = _DAY
ATTEMPT = 2.0  # seconds for one answer of NATS
PAUSES = (0.05, 0.25, 1.0)  # seconds before a write is tried again; the last one repeats
FAREWELL = 2.0  # seconds
SWEEP = 600.0  # seconds between two looks for what is over

log = structlog.get_logger()


class Known(msgspec.Struct, frozen=True):
    """What was said, and `at` which moment, in nanoseconds since the epoch."""

    at: int
    answer: OperatorAnswer

    def over(self, at: int) -> bool:
        """Whether it says nothing any more about `at`."""
        end = self.answer.valid_until
        return self.at + KEPT <= at or (end is not None and end <= at)


class AnswerKeys:
    """Makes the keys under a secret, since a token is part of each."""

    def __init__(self, secret: bytes) -> None:
        """Key by `secret`, 16 to 64 bytes; it may be the one of the keyed ids."""
        self._keyed = hashlib.blake2b(digest_size=16, key=secret, person=b"operator-answer")

    def of(self, partner_id: str, installation_id: str, token: str) -> str:
        """Return the key of what this operator says of a token at a site, in hex."""
        code_class, canonical = classify(token)
        keyed = self._keyed.copy()
        parts = (partner_id, installation_id, code_class, canonical)
        keyed.update("\x00".join(parts).encode())
        return keyed.hexdigest()


class LastKnown:
    """Every operator's last answers; belongs to one event loop.

    `run` must be running, and a Follower of `STREAM` must be handing its messages to
    `follow`.
    """

    def __init__(self, client: Client, *, clock: Callable[[], int]) -> None:
        """Write over `client`; `clock` tells nanoseconds since the epoch."""
        self._client = client
        self._js = client.jetstream(timeout=ATTEMPT)
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._unwritten: dict[str, None] = {}  # a set that keeps its order
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def of(self, key: str, at: int) -> Known | None:
        """Return what was said last, unless it is over at `at`; memory only."""
        known = self._known.get(key)
        return None if known is None or known.over(at) else known

    def remember(self, key: str, answer: OperatorAnswer, at: int) -> None:
        """Remember what was just said; returns at once, and never raises."""
        known = self._known.get(key)
        if known is not None and known.at >= at:
            return
        if known is not None and known.answer == answer and known.at + FRESH > at:
            return
        self._known[key] = Known(at, answer)
        self._write_soon(key)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Take in what is in the bucket; what a Follower of `STREAM` calls."""
        for message in messages:
            key, told = message.subject.removeprefix(_PREFIX), _read(message.data)
            if _KEY.fullmatch(key) is None or told is None:
                continue  # not written here
            known = self._known.get(key)
            if known is None or known.at < told.at:
                self._known[key] = told
            elif known.at > told.at:
                # Another replica was asked before this one, and has written behind it.
                self._write_soon(key)

    def tell_again(self) -> None:
        """Have all that is known written into a bucket that was lost."""
        for key in self._known:
            self._write_soon(key)

    async def idle(self) -> None:
        """Return once everything remembered here is in the bucket."""
        await self._idle.wait()

    async def tell_the_rest(self, within: float = FAREWELL) -> None:
        """Return once all of it is in the bucket, or after `within` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.idle()

    async def run(self) -> None:
        """Write until cancelled, and forget what is over."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            while True:
                while self._unwritten:
                    await self._write(next(iter(self._unwritten)))
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()

    def _write_soon(self, key: str) -> None:
        self._unwritten[key] = None
        self._idle.clear()
        self._arrived.set()

    async def _write(self, key: str) -> None:
        """Write what is known of the key, for as long as it takes."""
        failures = 0
        while True:
            known = self._known.get(key)
            if known is None:
                self._unwritten.pop(key, None)
                return
            try:
                if self._client.is_connected:
                    await self._js.publish(_PREFIX + key, msgspec.json.encode(known))
                    if self._known.get(key) == known:  # nothing newer was said meanwhile
                        self._unwritten.pop(key, None)
                    return
            except (nats.errors.Error, OSError) as error:
                log.info("operator_answer_write_repeated", error=type(error).__name__)
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = self._clock()
            for key in [key for key, known in self._known.items() if known.over(now)]:
                del self._known[key]


async def declare_answers(js: JetStreamContext, *, replicas: int) -> None:
    """Declare the bucket or bring it in line: the stream that a KV bucket is."""
    config = StreamConfig(
        name=STREAM,
        subjects=[f"{_PREFIX}>"],
        max_msgs_per_subject=1,
        max_age=KEPT / 10**9,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        deny_delete=True,
        allow_rollup_hdrs=True,
        allow_direct=False,
    )
    await ensure_stream(js, config)


def _read(data: bytes) -> Known | None:
    """Return what stands there; somebody's deletion by hand, or another's words, is nothing."""
    try:
        return msgspec.json.decode(data, type=Known)
    except msgspec.DecodeError:
        return None
