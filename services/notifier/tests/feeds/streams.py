"""The four streams as their services fill them, and a projector that reads them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.relay import END
from chargekey_common.relay import GENERATION as GENERATION_OF
from chargekey_common.testing.streams import make_stream
from chargekey_notifier.feeds.merging import STREAMS
from chargekey_notifier.feeds.projecting import Projector
from chargekey_notifier.feeds.store import Feeds

from .story import GENERATION, NOON, SECOND, about


class Streams:
    """ACCESS, IDENTITY, SESSIONS and CHARGERS: everything told is a second later."""

    def __init__(self, client: Client) -> None:
        self._js = client.jetstream()
        self.numbers: Counter[str] = Counter()
        self.generations: dict[str, str] = {}
        self.at = NOON
        self._log: list[tuple[PublishedEvent, Attributes]] = []

    async def make(self, *streams: str, end: int = 0) -> None:
        """Make them; of those behind which a store stands, that held `end` events."""
        for stream in streams or STREAMS:
            generation = self.generations.get(stream.lower(), GENERATION)
            config = StreamConfig(
                name=stream,
                subjects=[f"{stream.lower()}.v1.>"],
                metadata={GENERATION_OF: generation, END: str(end)},
            )
            await make_stream(self._js, config)

    async def lose(self, *streams: str) -> None:
        """Lose them with all that they hold."""
        for stream in streams or STREAMS:
            await self._js.delete_stream(stream)
            self.numbers[stream.lower()] = 0

    async def tell(self, *events: PublishedEvent, at: int | None = None) -> None:
        """Publish events, each the next of its stream, the first one at `at`."""
        if at is not None:
            self.at = at - SECOND
        for event in events:
            self.at += SECOND
            number = self.numbers[event.stream] + 1
            generation = self.generations.get(event.stream, GENERATION)
            told = event, about(event, number, self.at, generation)
            self._log.append(told)
            await self._tell(*told)

    async def tell_again(self, stream: str, *, most: int | None = None) -> None:
        """Fill a stream with all that was ever told on it, or the first of that."""
        log = [(event, each) for event, each in self._log if event.stream == stream.lower()]
        for event, attributes in log[:most]:
            await self._tell(event, attributes)

    async def _tell(self, event: PublishedEvent, attributes: Attributes) -> None:
        self.numbers[event.stream] += 1
        message_headers = headers(event, attributes, source=event.stream)
        await self._js.publish(event.subject, msgspec.json.encode(event), headers=message_headers)

    async def publish(self, subject: str, data: bytes, **message_headers: str) -> None:
        """Publish anything."""
        await self._js.publish(subject, data, headers=message_headers)


@asynccontextmanager
async def projecting(
    feeds: Feeds, server: NatsServer, clock: Callable[[], int] = lambda: NOON
) -> AsyncIterator[Projector]:
    """Fill the feeds while it is entered."""
    projector = Projector(feeds, server.bus, clock)
    task = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        await cancel(task)
        if not task.cancelled():
            task.result()
