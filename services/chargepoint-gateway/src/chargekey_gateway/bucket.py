"""JetStream KV buckets, written behind what is in memory: nobody waits for them.

By compare-and-set, one key after the other, each for as long as it takes: what another
replica has put there meanwhile is read first, and nothing is overwritten unseen. What a
bucket has is heard of by a Follower of its stream.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.follower import Message
from chargekey_common.jetstream import (
    STREAM_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    cancellably,
    ensure_stream,
)

ATTEMPT = 2.0  # seconds for one answer of NATS
PAUSES = (0.05, 0.25, 1.0)  # seconds before a write is tried again; the last one repeats

log = structlog.get_logger()

Value = TypeVar("Value", bound=msgspec.Struct)


class Bucket(Generic[Value]):
    """Writes one; belongs to one event loop, and `run` must be running.

    What cannot be read there, somebody's deletion by hand or another's words, is nothing.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        kind: type[Value],
        *,
        keys: str,
        settle: Callable[[str, Value | None], Value | None],
        stored: Callable[[str, Value], None] = lambda _key, _value: None,
    ) -> None:
        """Write values of `kind` under what matches `keys`.

        `settle` is called with a key and what is there, in memory as late as can be, and
        returns what to put on top of that, None for nothing; then `stored` with what was.
        """
        self._client = client
        self._js = client.jetstream(timeout=ATTEMPT)
        self._name = name
        self._prefix = f"$KV.{name}."
        self._values = msgspec.json.Decoder(kind)
        self._keys = re.compile(keys)
        self._settle = settle
        self._stored = stored
        # In their order; whether something has changed since it was last settled.
        self._unwritten: dict[str, bool] = {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def write_soon(self, key: str) -> None:
        """Have what is known of the key written; returns at once, and never raises."""
        self._unwritten[key] = True
        self._idle.clear()
        self._arrived.set()

    def is_unwritten(self, key: str) -> bool:
        """Whether something is known here that is not, or may not be, there."""
        return key in self._unwritten

    def read(self, messages: Sequence[Message]) -> Iterable[tuple[str, Value | None]]:
        """Yield what messages of the bucket's stream say, by its key."""
        for message in messages:
            key = message.subject.removeprefix(self._prefix)
            if self._keys.fullmatch(key) is not None:  # else it was not written here
                yield key, self._value(message.data)

    async def idle(self) -> None:
        """Return once everything is there."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            while self._unwritten:
                await self._insist(next(iter(self._unwritten)))
            self._idle.set()
            self._arrived.clear()
            await self._arrived.wait()

    async def _insist(self, key: str) -> None:
        failures = 0
        while True:
            try:
                if self._client.is_connected:
                    await cancellably(self._write(key))
                    return
            except (nats.errors.Error, OSError) as error:
                if isinstance(error, APIError) and error.err_code == WRONG_LAST_SEQUENCE:
                    continue  # another replica was there first: read and go on at once
                log.info("bucket_write_repeated", bucket=self._name, error=type(error).__name__)
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    async def _write(self, key: str) -> None:
        """Put what is settled there, on top of what it was settled with and of nothing newer."""
        subject = self._prefix + key
        revision, there = 0, None
        try:
            message = await self._js.get_last_msg(f"KV_{self._name}", subject)  # the leader's
        except NothingThereError as error:
            if error.err_code == STREAM_NOT_FOUND:
                raise
        else:
            revision, there = message.seq or 0, self._value(message.data or b"")
        self._unwritten[key] = False
        value = self._settle(key, there)
        if value is not None:
            await self._js.publish(
                subject,
                msgspec.json.encode(value),
                headers={"Nats-Expected-Last-Subject-Sequence": str(revision)},
            )
            self._stored(key, value)
        if not self._unwritten[key]:  # nothing has changed meanwhile
            del self._unwritten[key]

    def _value(self, data: bytes) -> Value | None:
        try:
            return self._values.decode(data)
        except msgspec.DecodeError:
            return None


async def declare_bucket(
    js: JetStreamContext, name: str, *, replicas: int, kept: float | None = None
) -> None:
    """Declare a bucket, the stream that it is, or bring it in line; `kept` in seconds."""
    config = StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        max_msgs_per_subject=1,
        max_age=kept,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        deny_delete=True,
        allow_rollup_hdrs=True,
        allow_direct=False,  # a direct read may come from a replica that is behind
    )
    await ensure_stream(js, config)
