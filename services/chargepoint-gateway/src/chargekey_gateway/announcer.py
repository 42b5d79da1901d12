"""Telling what nobody waits for: refusals at chargers, and what chargers report.

A bounded queue and one task between the taps and NATS, so that neither a slow nor an
absent NATS is felt at a charger. Everybody has a share of the queue, and of the stream behind
it: what a charger makes up pushes out what it tells itself, and nothing of anybody else.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from chargekey_common.jetstream import cancellably, ensure_stream
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_gateway.metrics import ANNOUNCEMENTS_DROPPED
from chargekey_gateway.sessions.stream import SOURCE

CHARGERS_STREAM = "CHARGERS"
# Fifteen thousand chargers that come back at once tell two things each, faster than one after the
# other is acknowledged.
CAPACITY = 40_000
# Of one kind, by one actor, of one thing, within a window; a sound charger tells of less. The
# streams are kept, and the sequences of SESSIONS are OCPP 1.6's transaction ids, which end.
SHARE = 100
WINDOW = 60.0  # seconds, and longer while something waits
ATTEMPT = 2.0  # seconds for one acknowledgement
PAUSES = (0.05, 0.25, 1.0)  # seconds before an event is sent again; the last one repeats

log = structlog.get_logger()


class Announcer:
    """Publishes events in the order they came, each until it is acknowledged.

    At least once: an acknowledgement that was lost means the event twice, with one
    CloudEvents id. What does not fit any more, or is beyond its share, is dropped and counted.
    """

    def __init__(
        self,
        client: Client,
        *,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold at most `capacity` events that NATS has not acknowledged yet.

        `clock` tells seconds that only ever grow.
        """
        self._client = client
        self._js = client.jetstream(timeout=ATTEMPT)
        self._waiting: deque[tuple[PublishedEvent, Attributes]] = deque()
        self._capacity = capacity
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._full = False
        self._clock = clock
        self._announced: Counter[tuple[str, str]] = Counter()  # by actor and subject
        self._window_ends = 0.0

    def announce(self, event: PublishedEvent, about: Attributes) -> bool:
        """Have the event published when possible; returns at once, never raises.

        Whether it will be, or is dropped.
        """
        if not self._in_share(event, about):
            ANNOUNCEMENTS_DROPPED.labels("share").inc()
            return False
        if len(self._waiting) >= self._capacity:
            ANNOUNCEMENTS_DROPPED.labels("full").inc()
            if not self._full:  # one line a jam, not one an event
                self._full = True
                log.error("announcements_dropped")
            return False
        self._waiting.append((event, about))
        self._arrived.set()
        self._idle.clear()
        return True

    async def idle(self) -> None:
        """Return once everything announced is published."""
        await self._idle.wait()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            while self._waiting:
                await self._publish(*self._waiting[0])
                self._waiting.popleft()
                self._full = False
            self._idle.set()
            self._arrived.clear()
            await self._arrived.wait()

    def _in_share(self, event: PublishedEvent, about: Attributes) -> bool:
        """Count it, and whether there is room for it among its like.

        In a jam there is no new window: what waits is nobody's but in its share.
        """
        now = self._clock()
        if now >= self._window_ends and not self._waiting:
            self._announced.clear()
            self._window_ends = now + WINDOW
        like = about.actor, event.subject
        self._announced[like] += 1
        if self._announced[like] == SHARE + 1:  # one line a window, not one an event
            log.warning("announcements_beyond_share", actor=about.actor, kind=type(event).__name__)
        return self._announced[like] <= SHARE

    async def _publish(self, event: PublishedEvent, about: Attributes) -> None:
        payload = msgspec.json.encode(event)
        event_headers = headers(event, about, source=SOURCE)
        failures = 0
        while True:
            try:
                if self._client.is_connected:
                    sent = self._js.publish(event.subject, payload, headers=event_headers)
                    await cancellably(sent)
                    return
            except (nats.errors.Error, OSError) as error:
                log.info("announcement_repeated", error=type(error).__name__)
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1


async def declare_chargers_stream(client: Client, *, replicas: int) -> None:
    """Declare the CHARGERS stream or bring it in line."""
    config = StreamConfig(
        name=CHARGERS_STREAM,
        subjects=["chargers.v1.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        allow_direct=False,
    )
    await ensure_stream(client.jetstream(), config)
