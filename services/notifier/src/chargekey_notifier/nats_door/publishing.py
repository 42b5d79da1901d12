"""Fills partners' streams from their feeds: the same bytes, under the same numbers.

A batch is stored only directly behind the number before it, so a publisher that others have
overtaken is refused, and one that was killed anywhere goes on where the stream ends. A stream
that was lost is filled again with what is kept.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping

import structlog
from nats.aio.client import Client
from prometheus_client import Counter

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.jetstream import (
    BatchRefusedError,
    BatchUnansweredError,
    OutMessage,
    cancellably,
    publish_atomically,
)
from chargekey_common.process import set_within
from chargekey_common.published.feed import CONTENT_TYPE
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.nats_door.streams import PASSING, Streams, subject

MOST_A_BATCH = 100
# Seconds until feeds are looked at that nobody told of: another replica may tell them.
POLL = 1.0
# Seconds until a stream's end is asked again: somebody may have deleted it.
LOOK = 30.0
RETRY = 1.0

_PASSING = (DatabaseUnavailableError, BatchRefusedError, BatchUnansweredError, *PASSING)
_HEADERS = {"Content-Type": CONTENT_TYPE}
_FAILURES = Counter("feed_publishing_failures_total", "Batches of feeds that are tried again.")

log = structlog.get_logger()


class Publisher:
    """Publishes every partner's feed, each on its own; run it once a database."""

    def __init__(self, client: Client, feeds: Feeds, streams: Streams) -> None:
        self._client = client
        self._feeds = feeds
        self._streams = streams
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        feeds.on_told(self._wake)

    def _wake(self, _: frozenset[str]) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Publish until cancelled."""
        published: dict[str, _Feed] = {}
        reconnects = self._client.stats["reconnects"]
        async with asyncio.TaskGroup() as publishing:
            while True:
                self._woken.clear()
                for partner_id, number in (await self._numbers()).items():
                    if partner_id not in published:
                        feed = _Feed(partner_id, self._client, self._feeds, self._streams)
                        published[partner_id] = feed
                        publishing.create_task(feed.run())
                    published[partner_id].told(number)
                if reconnects != (reconnects := self._client.stats["reconnects"]):
                    for feed in published.values():
                        feed.look()
                await set_within(self._woken, POLL)

    async def _numbers(self) -> Mapping[str, int]:
        try:
            return await asyncio.to_thread(self._feeds.numbers)
        except DatabaseUnavailableError:
            log.info("feed_publishing_waits", error=DatabaseUnavailableError.__name__)
            return {}


class _Feed:
    """One partner's: whatever keeps it up, the others go on."""

    def __init__(self, partner_id: str, client: Client, feeds: Feeds, streams: Streams) -> None:
        self._partner_id = partner_id
        self._client = client
        self._feeds = feeds
        self._streams = streams
        # The number its stream ends with, while that is known.
        self._end: int | None = None
        self._woken = asyncio.Event()

    def told(self, number: int) -> None:
        """Publish what comes up to this number, if the stream does not have it."""
        if self._end is None or number > self._end:
            self._woken.set()

    def look(self) -> None:
        """Ask the stream where it ends: NATS was away, and may have lost its disk."""
        self._end = None
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self._woken.clear()
            try:
                while await cancellably(self._publish_some()):
                    pass
            except _PASSING as error:
                self._end = None
                _FAILURES.inc()
                log.info(
                    "feed_publishing_retries",
                    partner=self._partner_id,
                    error=str(error) or repr(error),
                )
                await asyncio.sleep(RETRY)
                continue
            if not await set_within(self._woken, LOOK):
                self._end = None

    async def _publish_some(self) -> bool:
        """Publish a batch; return whether there may be more."""
        if self._end is None:
            self._end = await self._end_of_stream()
        entries = await asyncio.to_thread(
            self._feeds.read, self._partner_id, after=self._end, limit=MOST_A_BATCH
        )
        if not entries:
            return False
        place = subject(self._partner_id)
        self._end = await publish_atomically(
            self._client,
            [OutMessage(place, each.document, _HEADERS) for each in entries],
            batch_id=uuid.uuid4().hex,
            # Behind a gap this is not where the stream ends: refused, and then made anew.
            expected_last_sequence=entries[0].number - 1,
        )
        return True

    async def _end_of_stream(self) -> int:
        """Return the number of the stream's last event, once it goes with the feed."""
        ends = await asyncio.to_thread(self._feeds.ends, self._partner_id)
        if ends is None:
            return 0
        partner_id = self._partner_id
        end = (await self._streams.stream(partner_id, first=ends.first)).state.last_seq
        if not await self._goes_with(end, first=ends.first, last=ends.last):
            log.warning("feed_stream_made_anew", partner=partner_id, ended=end, begins=ends.first)
            end = (await self._streams.make_anew(partner_id, first=ends.first)).state.last_seq
        return end

    async def _goes_with(self, end: int, *, first: int, last: int) -> bool:
        """Return whether the feed goes on behind `end`.

        It does not where it was restored from a backup, or is kept from a later number only.
        """
        if not first <= end <= last:
            return end == first - 1
        kept = await asyncio.to_thread(self._feeds.read, self._partner_id, after=end - 1, limit=1)
        published = await self._streams.document(self._partner_id, end)
        return published is None or [each.document for each in kept] == [published]
