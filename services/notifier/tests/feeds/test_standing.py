"""How far the feeds are in each stream, by their own word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from chargekey_common.jetstream import Bus
from chargekey_common.nats_server import NatsServer
from chargekey_common.standing import Standing
from chargekey_common.testing.waiting import SOON, until
from chargekey_notifier.feeds.merging import STREAMS
from chargekey_notifier.feeds.projecting import Projector
from chargekey_notifier.feeds.store import Feeds

from .story import created, started
from .streams import Streams, projecting


async def behind(ask: Callable[[], Awaitable[Sequence[Standing]]], *expected: int | None) -> None:
    """Return once the streams are so far behind, in their order."""
    async with asyncio.timeout(30):
        while tuple(each.behind for each in await ask()) != expected:
            await asyncio.sleep(SOON)


async def test_the_feeds_tell_how_far_they_are_in_each_stream(
    feeds: Feeds,
    streams: Streams,
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chargekey_common.standing.PATIENCE", 30.0)  # the machine may be busy
    async with projecting(feeds, nats_server) as projector:
        await until(lambda: projector.caught_up)
        await streams.tell(created())
        await streams.tell(started())
        await behind(projector.standings, 0, 0, 0, 0)
        told = await projector.standings()
    assert [(each.part, each.stream) for each in told] == [("feeds", each) for each in STREAMS]
    assert [each.last > 0 for each in told] == [True, False, True, False]
    assert all(each.generation for each in told[:2])
    # Whoever does not fill them cannot tell.
    await behind(projector.standings, None, None, None, None)


def test_a_projector_that_has_not_begun_cannot_tell(feeds: Feeds) -> None:
    told = asyncio.run(Projector(feeds, Bus("nats://nobody")).standings())
    assert [each.behind for each in told] == [None] * len(STREAMS)
