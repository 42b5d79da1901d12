"""Where and when somebody asked for a session from afar: nowhere else does his app's code count.

The portal starts a session by telling a charger the code of whoever wants it. A charger that
has heard it could present it at any time, and tell it to others. So it is nobody's but there,
and for so long as it takes to plug in.

A decision looks at memory only. What is asked for is in the bucket before the charger is told,
and travels with the command to the replica that has the charger; so neither a quick charger
nor one that is soon connected elsewhere comes too early. There are ids and times in the
bucket, and no codes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from chargekey_common.errors import UnavailableError
from chargekey_common.follower import Message
from chargekey_gateway.bucket import Bucket, declare_bucket

BUCKET = "REMOTE_STARTS"
STREAM = f"KV_{BUCKET}"
_SECOND = 10**9
GOOD_FOR = 180 * _SECOND
# Of two replicas that tell the time, or of a charger that does, one may be behind.
SKEW = 60 * _SECOND
# A charger tells a start when it has a connection again (R23): a week later at the most.
KEPT = 7 * 24 * 3600 * _SECOND + GOOD_FOR
MOST = 20  # of one person at one charger, the last
WITHIN = 5.0  # seconds for it to be in the bucket: a change of its leader fits in
SWEEP = 600.0  # seconds between two looks for what is over


class Asked(msgspec.Struct, frozen=True):
    """When it was, in nanoseconds since the epoch, the last one at the end."""

    at: tuple[int, ...] = ()


NEVER = Asked()


class RemoteStarts:
    """All that were asked for of late; belongs to one event loop.

    `run` must be running, and a Follower of `STREAM` must be handing its messages to
    `follow`.
    """

    def __init__(self, client: Client, *, clock: Callable[[], int]) -> None:
        """Write over `client`; `clock` tells nanoseconds since the epoch."""
        self._bucket = Bucket(client, BUCKET, Asked, keys=r"[\w-]+\.[\w-]+", settle=self._settle)
        self._clock = clock
        self._asked: dict[str, Asked] = {}

    async def ask(self, charger_id: str, identification_id: str) -> int:
        """Let the identification count at the charger from now on, and return when that is.

        Durable when this returns; raises UnavailableError where that takes too long, and then
        the charger must not be told.
        """
        now = self._clock()
        self.hear(charger_id, identification_id, now)
        try:
            async with asyncio.timeout(WITHIN):
                await self._bucket.idle()
        except TimeoutError:
            raise UnavailableError from None
        return now

    def hear(self, charger_id: str, identification_id: str, at: int) -> None:
        """Know what was asked for at `at`, here or at another replica; returns at once."""
        key = _key(charger_id, identification_id)
        known = self._asked.get(key, NEVER)
        if self._merge(key, Asked((at,))) != known:
            self._bucket.write_soon(key)

    def covers(self, charger_id: str, identification_id: str, at: int) -> bool:
        """Whether the identification counts at the charger at `at`; memory only."""
        asked = self._asked.get(_key(charger_id, identification_id), NEVER)
        return any(each - SKEW <= at < each + GOOD_FOR for each in asked.at)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Take in what is in the bucket; what a Follower of `STREAM` calls."""
        for key, there in self._bucket.read(messages):
            self._merge(key, there or NEVER)

    def tell_again(self) -> None:
        """Have all that is known written into a bucket that was lost."""
        for key in self._asked:
            self._bucket.write_soon(key)

    async def run(self) -> None:
        """Write until cancelled, and forget what is over."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            tasks.create_task(self._bucket.run())

    def _merge(self, key: str, told: Asked) -> Asked:
        """Know it beside what is known."""
        known = self._asked.get(key, NEVER)
        both = Asked(tuple(sorted({*known.at, *told.at}))[-MOST:])
        if both != NEVER:
            self._asked[key] = both
        return both

    def _settle(self, key: str, there: Asked | None) -> Asked | None:
        """Make one of what both know."""
        told = there or NEVER
        both = self._merge(key, told)
        return None if both == told else both

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            since = self._clock() - KEPT
            for key in [key for key, asked in self._asked.items() if asked.at[-1] < since]:
                if not self._bucket.is_unwritten(key):
                    del self._asked[key]


async def declare_remote_starts(js: JetStreamContext, *, replicas: int) -> None:
    """Declare the bucket or bring it in line: the stream that a KV bucket is."""
    await declare_bucket(js, BUCKET, replicas=replicas, kept=KEPT / _SECOND)


def _key(charger_id: str, identification_id: str) -> str:
    return f"{charger_id}.{identification_id}"
