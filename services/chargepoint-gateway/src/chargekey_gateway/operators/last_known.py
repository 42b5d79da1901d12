"""The last answer of every operator, for when it does not answer (the site's LAST_KNOWN).

A decision looks at memory only. What an operator says is in this replica's memory at
once; a task of its own puts it into a bucket, and `follow` brings in what other replicas
put there and what was there before a restart. The newest answer wins, wherever it was
written last. Keys are keyed hashes: nobody reads a token from the bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Sequence

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from chargekey_common.follower import Message
from chargekey_common.keyed_ids import classify
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.bucket import Bucket, declare_bucket

BUCKET = "OPERATOR_ANSWERS"
STREAM = f"KV_{BUCKET}"
_DAY = 24 * 3600 * 10**9
KEPT = 30 * _DAY
# The same answer again is not written again before: a tap is not a write.
FRESH = _DAY
FAREWELL = 2.0  # seconds
# Beyond so many, no refusals of what was unknown are remembered: whoever makes up tokens at a
# charger is refused each of them, and is so without an answer, too.
MOST = 100_000
SWEEP = 600.0  # seconds between two looks for what is over


class Whitelisted(msgspec.Struct, frozen=True):
    """What an operator says of a token by itself, as of `last_updated`, in epoch nanoseconds.

    UNREACHABLE where nothing but its answer to a question may count; with `always` it is not
    to be asked. The answer's reference names what it allows by an answer without one, too.
    """

    answer: OperatorAnswer
    last_updated: int
    always: bool = False


class Known(msgspec.Struct, frozen=True):
    """What was said, and `at` which moment, in nanoseconds since the epoch.

    `last_updated` and `always` of what an operator has said by itself (`Whitelisted`).
    """

    at: int
    answer: OperatorAnswer
    last_updated: int | None = None
    always: bool = False

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

    def of_all_sites(self, partner_id: str, token: str) -> str:
        """Return the key of what this operator says of a token wherever it is presented."""
        return self.of(partner_id, "", token)


class LastKnown:
    """Every operator's last answers; belongs to one event loop.

    `run` must be running, and a Follower of `STREAM` must be handing its messages to
    `follow`.
    """

    def __init__(self, client: Client, *, clock: Callable[[], int]) -> None:
        """Write over `client`; `clock` tells nanoseconds since the epoch."""
        self._bucket = Bucket(client, BUCKET, Known, keys="[0-9a-f]{32}", settle=self._settle)
        self._clock = clock
        self._known: dict[str, Known] = {}

    def of(self, key: str, at: int) -> Known | None:
        """Return what was said last, unless it is over at `at`; memory only."""
        known = self._known.get(key)
        return None if known is None or known.over(at) else known

    def remember(self, key: str, answer: OperatorAnswer, at: int) -> None:
        """Remember what was just said; returns at once, and never raises."""
        known = self._known.get(key)
        if known is not None and known.at >= at:
            return
        if known is None and answer.status != "ALLOWED" and len(self._known) >= MOST:
            return
        if known is not None and known.answer == answer and known.at + FRESH > at:
            return
        self._known[key] = Known(at, answer)
        self._bucket.write_soon(key)

    def tell(self, key: str, said: Whitelisted | None, at: int) -> None:
        """Remember what an operator says by itself, unless it has said something newer.

        None forgets what it said. Returns at once, and never raises. What is told again holds
        for longer.
        """
        told = self.told_of(key)
        known = self._known.get(key)
        if known is not None and known.at >= at:
            return
        if said is None:
            if told is None:
                return
            self._known[key] = Known(at, OperatorAnswer(status="UNREACHABLE"))
        else:
            if told is not None and told.last_updated > said.last_updated:
                return
            if told == said and known is not None and known.at + FRESH > at:
                return
            self._known[key] = Known(at, said.answer, said.last_updated, said.always)
        self._bucket.write_soon(key)

    def told_of(self, key: str) -> Whitelisted | None:
        """Return what an operator has said by itself and repeated of late; memory only."""
        known = self._known.get(key)
        if known is None or known.last_updated is None or known.over(self._clock()):
            return None
        return Whitelisted(known.answer, known.last_updated, known.always)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Take in what is in the bucket; what a Follower of `STREAM` calls."""
        for key, told in self._bucket.read(messages):
            if told is not None and self._settle(key, told) is not None:
                # Another replica was asked before this one, and has written behind it.
                self._bucket.write_soon(key)

    def tell_again(self) -> None:
        """Have all that is known written into a bucket that was lost."""
        for key in self._known:
            self._bucket.write_soon(key)

    async def idle(self) -> None:
        """Return once everything remembered here is in the bucket."""
        await self._bucket.idle()

    async def tell_the_rest(self, within: float = FAREWELL) -> None:
        """Return once all of it is in the bucket, or after `within` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.idle()

    async def run(self) -> None:
        """Write until cancelled, and forget what is over."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            tasks.create_task(self._bucket.run())

    def _settle(self, key: str, there: Known | None) -> Known | None:
        """Know the newer of what both know; return it where it is not the one there."""
        known = self._known.get(key)
        if there is None or (known is not None and known.at > there.at):
            return known
        if known is None or known.at < there.at:
            self._known[key] = there
        return None

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = self._clock()
            for key in [key for key, known in self._known.items() if known.over(now)]:
                del self._known[key]


async def declare_answers(js: JetStreamContext, *, replicas: int) -> None:
    """Declare the bucket or bring it in line: the stream that a KV bucket is."""
    await declare_bucket(js, BUCKET, replicas=replicas, kept=KEPT / 10**9)
