from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey_common import jetstream
from chargekey_common.follower import BATCH, Follower, Message
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.testing.streams import make_stream
from chargekey_common.testing.waiting import until


class Seen:
    """What a follower handed over, with a way to wait for it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._grown = asyncio.Condition()

    async def handle(self, batch: Sequence[Message]) -> None:
        async with self._grown:
            self.messages.extend(batch)
            self._grown.notify_all()

    async def wait(self, count: int) -> list[bytes]:
        async with asyncio.timeout(20), self._grown:
            await self._grown.wait_for(lambda: len(self.messages) >= count)
        return [message.data for message in self.messages]


@asynccontextmanager
async def running(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        await cancel(task)


async def until_whole(follower: Follower) -> None:
    async with asyncio.timeout(20):
        while await follower.ahead() != 0:
            await asyncio.sleep(0.01)


async def fill(client: Client, numbers: range) -> None:
    js = client.jetstream()
    for number in numbers:
        await js.publish("things.one", str(number).encode())


@pytest.fixture
async def things(nats_client: Client) -> Client:
    await nats_client.jetstream().add_stream(StreamConfig(name="THINGS", subjects=["things.>"]))
    return nats_client


async def test_every_message_arrives_once_and_in_order_across_many_pulls(things: Client) -> None:
    count = BATCH * 3 + 7
    for number in range(count):
        await things.publish("things.one", str(number).encode())
    await things.flush()
    seen = Seen()
    follower = Follower(things, "THINGS", seen.handle)
    async with running(follower):
        assert await seen.wait(count) == [str(number).encode() for number in range(count)]
        await asyncio.wait_for(follower.caught_up.wait(), 30)
        assert [message.sequence for message in seen.messages] == list(range(1, count + 1))


async def test_following_starts_behind_the_given_sequence(things: Client) -> None:
    await fill(things, range(10))
    seen = Seen()
    async with running(Follower(things, "THINGS", seen.handle, after=7)):
        assert await seen.wait(3) == [b"7", b"8", b"9"]


async def test_an_empty_stream_is_caught_up_with_at_once(things: Client) -> None:
    follower = Follower(things, "THINGS", Seen().handle)
    async with running(follower):
        await asyncio.wait_for(follower.caught_up.wait(), 30)


async def test_an_empty_stream_that_counts_from_a_high_number_is_caught_up_with_at_once(
    nats_client: Client,
) -> None:
    js = nats_client.jetstream()
    await js.add_stream(StreamConfig(name="THINGS", subjects=["things.>"], first_seq=1000))
    follower = Follower(nats_client, "THINGS", Seen().handle)
    async with running(follower):
        await asyncio.wait_for(follower.caught_up.wait(), 30)


async def test_a_stream_that_ends_on_other_subjects_is_caught_up_with(things: Client) -> None:
    await fill(things, range(2))
    await things.jetstream().publish("things.other", b"")
    follower = Follower(things, "THINGS", Seen().handle, after=2, subjects=["things.one"])
    async with running(follower):
        await asyncio.wait_for(follower.caught_up.wait(), 30)


async def test_a_stream_that_is_made_later_is_waited_for(nats_client: Client) -> None:
    seen = Seen()
    async with running(Follower(nats_client, "THINGS", seen.handle)):
        await nats_client.jetstream().add_stream(StreamConfig(name="THINGS", subjects=["things.>"]))
        await fill(nats_client, range(2))
        assert await seen.wait(2) == [b"0", b"1"]


async def test_a_stream_made_again_is_read_from_its_beginning(things: Client) -> None:
    await fill(things, range(3))
    seen = Seen()
    async with running(Follower(things, "THINGS", seen.handle)):
        await seen.wait(3)
        js = things.jetstream()
        await js.delete_stream("THINGS")
        await make_stream(js, StreamConfig(name="THINGS", subjects=["things.>"]))
        await fill(things, range(10, 12))
        assert await seen.wait(5) == [b"0", b"1", b"2", b"10", b"11"]


async def test_a_stream_made_again_while_nobody_followed_is_read_from_its_beginning(
    things: Client,
) -> None:
    await fill(things, range(3))
    seen = Seen()
    before = Follower(things, "THINGS", seen.handle)
    async with running(before):
        await seen.wait(3)
    js = things.jetstream()
    await js.delete_stream("THINGS")
    await make_stream(js, StreamConfig(name="THINGS", subjects=["things.>"]))
    await fill(things, range(10, 15))
    later = Follower(things, "THINGS", seen.handle, after=before.sequence, made=before.made)
    async with running(later):
        assert (await seen.wait(8))[3:] == [b"10", b"11", b"12", b"13", b"14"]


async def test_a_stream_that_lost_its_tail_is_read_from_its_beginning(things: Client) -> None:
    await fill(things, range(2))
    seen = Seen()
    async with running(Follower(things, "THINGS", seen.handle, after=7)):
        assert await seen.wait(2) == [b"0", b"1"]


async def test_it_tells_how_far_the_stream_is_ahead(things: Client) -> None:
    """O50."""
    await fill(things, range(3))
    go_on = asyncio.Event()
    seen = Seen()

    async def handle(batch: Sequence[Message]) -> None:
        await seen.handle(batch)
        await go_on.wait()

    follower = Follower(things, "THINGS", handle)
    assert await follower.ahead() is None, "nothing was read of whatever stream that is"
    async with running(follower):
        await seen.wait(1)
        assert await follower.ahead() == 3, "handed over, and not handled"
        go_on.set()
        await until_whole(follower)
        go_on.clear()
        await fill(things, range(3, 5))
        await seen.wait(4)
        assert await follower.ahead() == 2


async def test_it_knows_how_many_messages_have_yet_to_come(things: Client) -> None:
    """F4: and, without a consumer, that it does not know."""
    await fill(things, range(BATCH + 1))
    go_on = asyncio.Event()
    seen = Seen()

    async def handle(batch: Sequence[Message]) -> None:
        await seen.handle(batch)
        await go_on.wait()

    follower = Follower(things, "THINGS", handle)
    assert _is_unknown(follower)
    async with running(follower):
        await seen.wait(1)
        assert follower.pending == BATCH + 1 - len(seen.messages)
        go_on.set()
        await seen.wait(BATCH + 1)
        await until(lambda: follower.pending == 0)
        await things.jetstream().delete_stream("THINGS")
        await until(partial(_is_unknown, follower))


def _is_unknown(follower: Follower) -> bool:
    return follower.pending is None


async def test_what_was_deleted_keeps_nobody_from_having_read_everything(things: Client) -> None:
    """O50: keys of who is erased are."""
    await fill(things, range(3))
    await things.jetstream().delete_msg("THINGS", 3)
    async with running(follower := Follower(things, "THINGS", Seen().handle)):
        await until_whole(follower)
    await things.jetstream().purge_stream("THINGS")
    async with running(follower := Follower(things, "THINGS", Seen().handle)):
        await until_whole(follower)


async def test_a_stream_that_is_another_one_now_tells_nothing(things: Client) -> None:
    """O50: else one that was made again, and is shorter, would seem to be read to its end."""
    await fill(things, range(3))
    async with running(follower := Follower(things, "THINGS", Seen().handle)):
        await until_whole(follower)
    js = things.jetstream()
    await js.delete_stream("THINGS")
    await make_stream(js, StreamConfig(name="THINGS", subjects=["things.>"]))
    assert await follower.ahead() is None
    async with running(follower):
        await until_whole(follower)


async def test_a_restarted_server_is_followed_on(things: Client, nats_server: NatsServer) -> None:
    await fill(things, range(3))
    seen = Seen()
    async with running(Follower(things, "THINGS", seen.handle)):
        await seen.wait(3)
        await asyncio.to_thread(nats_server.kill)
        await asyncio.to_thread(nats_server.start)
        other = await jetstream.connect(nats_server.bus, "other")
        await fill(other, range(3, 6))
        assert await seen.wait(6) == [str(number).encode() for number in range(6)]
        await other.close()
