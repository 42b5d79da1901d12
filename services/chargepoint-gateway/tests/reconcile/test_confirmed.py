"""What chargers confirmed, on replicas that only meet in a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.follower import Follower, Message
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.testing.streams import make_again
from chargekey_common.testing.waiting import until
from chargekey_gateway.reconcile import confirmed
from chargekey_gateway.reconcile.confirmed import (
    MOST_REMEMBERED,
    NOTHING,
    Confirmed,
    Record,
    declare_confirmed,
)

from .conftest import ADA, BOB, Replica, Site, StandardCharger

FIRST = Record(version="1.6", list_version=1, list_content={"card": "mark"}, list_entries=1)
SECOND = msgspec.structs.replace(FIRST, list_version=2)
THIRD = msgspec.structs.replace(FIRST, list_version=3)


class Buckets:
    """Replicas' memories of one bucket."""

    def __init__(self, server: NatsServer, stack: AsyncExitStack) -> None:
        self._server = server
        self._stack = stack

    async def declared(self) -> Client:
        client = await self.client()
        await declare_confirmed(client.jetstream(), replicas=1)
        return client

    async def follow(self, records: Confirmed, client: Client) -> Confirmed:
        follower = Follower(client, confirmed.STREAM, records.follow)
        tasks = [asyncio.create_task(follower.run()), asyncio.create_task(records.run())]
        for task in tasks:
            self._stack.push_async_callback(cancel, task)
        await follower.caught_up.wait()
        return records

    async def client(self) -> Client:
        client = await jetstream.connect(self._server.bus, "replica")
        self._stack.push_async_callback(jetstream.close, client)
        return client

    async def records(self) -> Confirmed:
        client = await self.client()
        return await self.follow(Confirmed(client), client)


@pytest_asyncio.fixture
async def buckets(nats_server: NatsServer) -> AsyncIterator[Buckets]:
    async with AsyncExitStack() as stack:
        yield Buckets(nats_server, stack)


async def test_what_is_confirmed_is_known_at_every_replica_and_after_a_restart(
    buckets: Buckets,
) -> None:
    await buckets.declared()
    one, other = await buckets.records(), await buckets.records()
    one.put("first", FIRST)
    assert one.of("first") == FIRST
    await until(lambda: other.of("first") == FIRST)
    other.put("first", SECOND)
    await until(lambda: one.of("first") == SECOND)
    await other.idle()
    assert (await buckets.records()).of("first") == SECOND
    assert one.of("second") == NOTHING


async def test_of_two_that_write_the_second_takes_what_the_first_wrote(buckets: Buckets) -> None:
    client = await buckets.declared()
    # One that does not follow, as while its follower is behind.
    behind = Confirmed(client)
    looked_at: list[str] = []
    behind.on_overtaken(looked_at.append)
    one = await buckets.records()
    one.put("first", FIRST)
    await one.idle()
    behind.put("first", SECOND)
    task = asyncio.create_task(behind.run())
    await behind.idle()
    assert behind.of("first") == FIRST
    assert looked_at == ["first"]
    behind.put("first", THIRD)
    await until(lambda: one.of("first") == THIRD)
    await cancel(task)


async def test_a_bucket_that_was_lost_is_filled_again(buckets: Buckets) -> None:
    client = await buckets.declared()
    one = await buckets.records()
    one.put("first", FIRST)
    await one.idle()
    await client.jetstream().delete_stream(confirmed.STREAM)
    await make_again(lambda: declare_confirmed(client.jetstream(), replicas=1))
    one.tell_again()
    await one.idle()
    assert (await buckets.records()).of("first") == FIRST


async def test_without_a_bus_what_is_confirmed_is_known_here_and_told_later(
    nats_server: NatsServer, buckets: Buckets
) -> None:
    await buckets.declared()
    one = await buckets.records()
    await asyncio.to_thread(nats_server.stop)
    one.put("first", FIRST)
    one.put("first", SECOND)
    assert one.of("first") == SECOND
    await asyncio.to_thread(nats_server.start)
    await one.idle()
    assert (await buckets.records()).of("first") == SECOND


async def test_what_the_bucket_had_before_does_not_undo_what_is_not_written_yet() -> None:
    records = Confirmed(Client())
    records.put("first", SECOND)
    before = Message(f"$KV.{confirmed.BUCKET}.first", 1, msgspec.json.encode(FIRST), {})
    await records.follow([before])
    assert records.of("first") == SECOND


async def test_what_is_not_a_record_is_nothing() -> None:
    records = Confirmed(Client())
    for data in (b"", b"null", b'{"list_version": "x"}'):
        await records.follow([Message(f"$KV.{confirmed.BUCKET}.first", 1, data, {})])
        assert records.of("first") == NOTHING


def test_of_a_list_that_fills_no_message_the_content_is_not_kept() -> None:
    records = Confirmed(Client())
    content = {f"{number:036}": "m" * 24 for number in range(MOST_REMEMBERED)}
    records.put("first", msgspec.structs.replace(FIRST, list_content=content))
    assert records.of("first").list_content == content
    assert len(msgspec.json.encode(records.of("first"))) < 1_000_000
    content["one more"] = "mark"
    records.put("first", msgspec.structs.replace(FIRST, list_content=dict(content)))
    assert records.of("first").list_content is None


async def test_a_charger_that_comes_back_at_another_replica_gets_only_what_changed(
    buckets: Buckets,
) -> None:
    await buckets.declared()
    site = Site()
    site.resident("ada", ADA)
    replicas = []
    for _ in range(2):
        client = await buckets.client()
        replicas.append(Replica(site, client))
        await buckets.follow(replicas[-1].confirmed, client)
    one, other = replicas
    charger = StandardCharger(site.charger())
    one.reconciler.connected(charger)
    await one.settled()
    one.reconciler.disconnected(charger)
    await one.confirmed.idle()
    await until(lambda: other.confirmed.of("first") == one.confirmed.of("first"))
    # Also who does not have the charger says how it is.
    assert other.state() == one.state()
    site.resident("bob", BOB)
    other.reconciler.connected(charger)
    await other.settled()
    assert [each.full for each in charger.lists()] == [True, False]
    assert [each.code for each in charger.lists()[-1].entries] == [BOB]
    assert charger.statuses() == {ADA: "Accepted", BOB: "Accepted"}
    await one.reconciler.close()
    await other.reconciler.close()
