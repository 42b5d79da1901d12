"""Lockouts of PINs: counted in memory at once, and with every other replica by NATS.

A decision looks at memory only. A wrong PIN is in this replica's memory before the next
one can be presented; a task of its own then puts it into a bucket, and `follow` brings in
what other replicas put there. Without NATS the counting goes on here, and is merged when
NATS is back. There are times in the bucket, and nothing of what was presented.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from chargekey_common import tracing
from chargekey_common.follower import Message
from chargekey_common.published.chargers import PinLockedOut, PinLockedOutAtInstallation
from chargekey_common.published.envelope import Attributes, PublishedEvent
from chargekey_gateway import guessing
from chargekey_gateway.bucket import Bucket, declare_bucket
from chargekey_gateway.guessing import NOTHING, Lock, Tally
from chargekey_gateway.sessions.stream import SOURCE
from chargekey_gateway.view.entries import Charger

BUCKET = "PIN_LOCKOUTS"
STREAM = f"KV_{BUCKET}"
# Seconds that the bucket keeps a tally: longer than it says anything.
KEPT = (guessing.LONGEST + 2 * guessing.FORGOTTEN) / 10**9
SWEEP = 600.0  # seconds between two looks for what is over
MOST_STARTS = 10_000  # with PINs, that are known again when they are sent again

_MOST = {
    "charger": guessing.MOST_AT_CHARGER,
    "installation": guessing.MOST_AT_INSTALLATION,
}
_KEYS = r"charger(\.[\w-]+){3}|installation\.[\w-]+"
# What the ids of the events are derived under.
_LOCKS = uuid.UUID("5b1b7f0e-5f3a-4c7e-9d0a-6d0a1f6f2b57")

log = structlog.get_logger()

Tell = Callable[[PublishedEvent, Attributes], None]


class Lockouts:
    """The tallies of all chargers and installations; belongs to one event loop.

    `run` must be running, and a Follower of `STREAM` must be handing its messages to
    `follow`. A move gives a charger another key, and so a tally without anything (R11).
    """

    def __init__(self, client: Client, *, tell: Tell, clock: Callable[[], int]) -> None:
        """Have events about new locks published by `tell`; `clock` tells nanoseconds.

        Of one lock several replicas may tell, each with the same CloudEvents id.
        """
        self._bucket = Bucket(client, BUCKET, Tally, keys=_KEYS, settle=self._settle)
        self._tell = tell
        self._clock = clock
        self._tallies: dict[str, Tally] = {}
        self._starts: OrderedDict[str, None] = OrderedDict()  # by key, the oldest first

    def locked(self, charger: Charger, at: int) -> bool:
        """Whether no PIN works at the charger at `at`; memory only."""
        keys = _of_charger(charger), _of_site(charger)
        return any(self._tallies.get(key, NOTHING).locked(at) for key in keys)

    def failed(self, charger: Charger, at: int) -> None:
        """Count a wrong PIN; returns at once, and never raises."""
        for key in (_of_charger(charger), _of_site(charger)):
            known = self._tallies.get(key, NOTHING).failures
            # Two at one time are two, and not one that was heard of twice.
            counted = next(each for each in itertools.count(at) if each not in known)
            self._count(key, Tally(failures=(counted,)))

    def succeeded(self, charger: Charger, at: int) -> None:
        """Begin to count anew at the charger; its installation goes on counting."""
        key = _of_charger(charger)
        if key in self._tallies:
            self._count(key, Tally(reset_at=at))

    def is_told_again(self, start_key: str) -> bool:
        """Whether this start with a PIN was asked about before: a guess, sent again, is one guess.

        As far back as this replica remembers.
        """
        if start_key in self._starts:
            return True
        self._starts[start_key] = None
        if len(self._starts) > MOST_STARTS:
            self._starts.popitem(last=False)
        return False

    async def follow(self, messages: Sequence[Message]) -> None:
        """Take in what is in the bucket; what a Follower of `STREAM` calls."""
        for key, there in self._bucket.read(messages):
            told = there or NOTHING
            if self._merge(key, told) != told:
                self._bucket.write_soon(key)

    def tell_again(self) -> None:
        """Have all that is known written into a bucket that was lost."""
        for key in self._tallies:
            self._bucket.write_soon(key)

    async def idle(self) -> None:
        """Return once everything counted here is in the bucket."""
        await self._bucket.idle()

    async def run(self) -> None:
        """Write until cancelled, and forget what is over."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            tasks.create_task(self._bucket.run())

    def _count(self, key: str, seen: Tally) -> None:
        before = self._tallies.get(key, NOTHING)
        if self._merge(key, seen) != before:
            self._bucket.write_soon(key)

    def _merge(self, key: str, told: Tally) -> Tally:
        """Know it beside what is known, tell of a lock that follows from the two together."""
        known = self._tallies.get(key, NOTHING)
        tally = guessing.merged(known, told, _MOST[key.partition(".")[0]])
        if tally != NOTHING:
            self._tallies[key] = tally
        if tally.lock > max(known.lock, told.lock):
            self._announce(key, tally.lock)
        return tally

    def _announce(self, key: str, lock: Lock) -> None:
        event = _event(key, lock)
        log.warning(type(event).__name__, key=key, until=lock.until, number=lock.number)
        self._tell(
            event,
            Attributes(
                id=str(uuid.uuid5(_LOCKS, f"{key}/{lock.since}")),
                at=lock.since,
                cause="",
                actor=f"service:{SOURCE}",
                trace=tracing.current(),
            ),
        )

    def _settle(self, key: str, there: Tally | None) -> Tally | None:
        """Make one of what both know."""
        told = there or NOTHING
        tally = self._merge(key, told)
        return None if tally == told else tally

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = self._clock()
            for key in [key for key, tally in self._tallies.items() if tally.over(now)]:
                if not self._bucket.is_unwritten(key):
                    del self._tallies[key]


async def declare_lockouts(js: JetStreamContext, *, replicas: int) -> None:
    """Declare the bucket or bring it in line: the stream that a KV bucket is."""
    await declare_bucket(js, BUCKET, replicas=replicas, kept=KEPT)


def _of_charger(charger: Charger) -> str:
    return f"charger.{charger.installation.id}.{charger.id}.{charger.moves}"


def _of_site(charger: Charger) -> str:
    return f"installation.{charger.installation.id}"


def _event(key: str, lock: Lock) -> PublishedEvent:
    match key.split("."):
        case ["charger", installation_id, charger_id, _]:
            return PinLockedOut(
                charger_id=charger_id, installation_id=installation_id, until=lock.until
            )
        case [_, installation_id]:
            return PinLockedOutAtInstallation(installation_id=installation_id, until=lock.until)
    raise AssertionError(key)
