"""Streams that are filled from feeds: the same bytes, under the same numbers, whatever happens."""

from __future__ import annotations

import shutil

import pytest
from nats.aio.client import Client
from sqlalchemy import update

from chargekey_common.jetstream import (
    WRONG_LAST_SEQUENCE,
    BatchRefusedError,
    OutMessage,
    publish_atomically,
)
from chargekey_common.nats_server import NatsServer
from chargekey_common.testing.waiting import until
from chargekey_notifier.feeds.store import EVENTS, Feeds
from chargekey_notifier.nats_door.streams import Streams

from .conftest import (
    DAYS,
    VOLT,
    VOLTS,
    WATT,
    Connect,
    Opened,
    documents,
    has,
    stored,
    tell,
)


@pytest.mark.usefixtures("door")
async def test_a_program_pulls_its_feed_and_goes_on_where_it_was(
    feeds: Feeds, program: Connect
) -> None:
    """F10: what is behind every door is in the stream, byte by byte, what came before too."""
    tell(feeds, VOLT, WATT)
    async with program(VOLTS) as volt:
        assert await volt.pulled(2) == documents(feeds)[:2]
    async with program(VOLTS) as volt:
        assert await volt.pulled(1) == documents(feeds)[2:]
        tell(feeds, VOLT, ids=range(4, 250))
        assert await volt.pulled(246) == documents(feeds, after=3)
        assert volt.errors == []


async def test_an_event_has_its_number_in_the_stream_too(
    opened: Opened, feeds: Feeds, streams: Client
) -> None:
    """Of a feed whose beginning is kept no longer, the rest; its days are the feed's."""
    tell(feeds, VOLT, ids=range(1, 9))
    with feeds.database.writing() as connection:
        connection.execute(update(EVENTS).where(EVENTS.c.number < 6).values(document=None))
    async with opened():
        await has(streams, documents(feeds))
    stream = await streams.jetstream().stream_info(VOLT)
    assert (stream.state.first_seq, stream.state.last_seq) == (6, 8)
    assert stream.config.max_age == DAYS * 86_400


async def test_a_publisher_goes_on_behind_one_that_died(
    opened: Opened, feeds: Feeds, streams: Client
) -> None:
    tell(feeds, VOLT, ids=range(1, 3))
    async with opened():
        await has(streams, documents(feeds))
    tell(feeds, VOLT, ids=range(3, 6))
    await _publish(streams, documents(feeds, after=2)[:2], behind=2)
    async with opened():
        await has(streams, documents(feeds))


async def test_of_publishers_that_run_at_once_each_event_comes_once(
    opened: Opened, feeds: Feeds, streams: Client
) -> None:
    """F11: one that lost its leadership without noticing; a batch of its is refused."""
    async with opened(), opened():
        for first in range(1, 200, 20):
            tell(feeds, VOLT, ids=range(first, first + 20))
        await has(streams, documents(feeds))
    with pytest.raises(BatchRefusedError) as refused:
        await _publish(streams, [b"late"], behind=100)
    assert refused.value.code == WRONG_LAST_SEQUENCE


@pytest.mark.usefixtures("door")
async def test_a_lost_disk_is_filled_again_and_programs_begin_anew(
    feeds: Feeds, nats_server: NatsServer, program: Connect, streams: Client
) -> None:
    """F11: at least once, the same bytes under the same numbers."""
    tell(feeds, VOLT, ids=range(1, 300))
    async with program(VOLTS) as volt:
        assert await volt.pulled(299) == documents(feeds)
    nats_server.kill()
    shutil.rmtree(nats_server.directory)
    nats_server.start()
    await until(lambda: streams.stats["reconnects"])
    await has(streams, documents(feeds))
    async with program(VOLTS) as volt:
        assert await volt.pulled(299) == documents(feeds)


@pytest.mark.parametrize("told", [[b"another", b"feed"], [b"a", b"longer", b"one", b"than", b"it"]])
async def test_a_stream_that_goes_not_with_its_feed_is_made_anew(
    told: list[bytes], opened: Opened, feeds: Feeds, streams: Client, program: Connect
) -> None:
    """F11: the notifier's database was restored from a backup; programs' consumers stay."""
    present = Streams(streams, days=DAYS)
    await present.stream(VOLT)
    await present.consumer(VOLT, VOLTS.id)
    await _publish(streams, told, behind=0)
    tell(feeds, VOLT)
    async with opened():
        await has(streams, documents(feeds))
        [consumer] = await streams.jetstream().consumers_info(VOLT)
        assert consumer.name == VOLTS.id
        async with program(VOLTS) as volt:
            assert await volt.pulled(3) == documents(feeds)


@pytest.mark.usefixtures("door")
async def test_a_stream_that_cannot_be_filled_delays_no_other(
    feeds: Feeds, streams: Client
) -> None:
    """F11: until it can; then it is."""
    js = streams.jetstream()
    await js.add_stream(name="in-the-way", subjects=["feed.volt"])
    tell(feeds, VOLT, WATT)
    await has(streams, documents(feeds, WATT), WATT)
    assert await stored(streams) == []
    await js.delete_stream("in-the-way")
    await has(streams, documents(feeds))


async def test_other_days_reach_a_stream_that_is_there(
    opened: Opened, feeds: Feeds, streams: Client
) -> None:
    tell(feeds, VOLT)
    async with opened():
        await has(streams, documents(feeds))
    await Streams(streams, days=90).stream(VOLT)
    stream = await streams.jetstream().stream_info(VOLT)
    assert stream.config.max_age == 90 * 86_400
    assert await stored(streams) == documents(feeds)


async def _publish(client: Client, told: list[bytes], *, behind: int) -> None:
    await publish_atomically(
        client,
        [OutMessage("feed.volt", each) for each in told],
        batch_id="a-publisher-that-died",
        expected_last_sequence=behind,
    )
