"""Reactions: in order, again after a failure, once in effect whatever the bus forgets."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from nats.aio.client import Client
from prometheus_client import REGISTRY

from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.nats_server import NatsServer
from chargekey_common.positions import Position
from chargekey_common.published.envelope import Attributes, headers
from chargekey_common.reactions import On, Reactions
from chargekey_common.relay import Relay

from .shelves import ShelfLabelled, Shelves, publication

OpenStore = Callable[..., EventStore]


class Seen:
    """What a reaction was asked, failing as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.labels: list[str] = []
        self.failures = failures
        self._grown = asyncio.Condition()

    async def react(self, event: ShelfLabelled, reaction: Reaction) -> None:
        assert reaction.handled.reaction == "mirror-on-shelf-labelled"
        if self.failures:
            self.failures -= 1
            reason = "not now"
            raise RuntimeError(reason)
        async with self._grown:
            self.labels.append(event.label)
            self._grown.notify_all()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(30), self._grown:
            await self._grown.wait_for(lambda: len(self.labels) >= count)


@asynccontextmanager
async def running(*runners: Relay | Reactions) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [error for error in ended if isinstance(error, Exception)]


def reactions(server: NatsServer, seen: Seen) -> Reactions:
    return Reactions("mirror", server.url, server.token, On(ShelfLabelled, seen.react))


def label(shelves: Shelves, *numbers: int) -> list[str]:
    for number in numbers:
        shelves.label(Context("me", f"label-{number}"), shelf_id=f"s{number}", label=str(number))
    return [str(number) for number in numbers]


async def test_events_arrive_in_order_also_when_one_fails_for_a_while(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    seen = Seen(failures=2)
    async with running(
        reactions(nats_server, seen), Relay(nats_client, shelves.store, publication)
    ):
        expected = await asyncio.to_thread(label, shelves, *range(8))
        await seen.wait(8)
    assert seen.labels == expected
    assert seen.failures == 0


async def test_a_restarted_service_goes_on_where_it_was(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    seen = Seen()
    async with running(Relay(nats_client, shelves.store, publication)):
        async with running(reactions(nats_server, seen)):
            await asyncio.to_thread(label, shelves, 1, 2)
            await seen.wait(2)
        await asyncio.to_thread(label, shelves, 3)
        async with running(reactions(nats_server, seen)):
            await seen.wait(3)
    assert seen.labels == ["1", "2", "3"]


async def test_a_refilled_bus_repeats_no_effect_and_new_events_are_still_reacted_to(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    shelves, mirror = Shelves(open_store()), Shelves(open_store("mirror.db"))
    asked = Seen()

    async def react(event: ShelfLabelled, reaction: Reaction) -> None:
        await asyncio.to_thread(mirror.react, reaction, event.shelf_id)
        await asked.react(event, reaction)

    mirroring = Reactions("mirror", nats_server.url, nats_server.token, On(ShelfLabelled, react))
    async with running(mirroring, Relay(nats_client, shelves.store, publication)):
        await asyncio.to_thread(label, shelves, 1, 2, 3)
        await asked.wait(3)
        await asyncio.to_thread(nats_server.kill)
        shutil.rmtree(nats_server.directory / "jetstream")
        await asyncio.to_thread(nats_server.start)
        await asyncio.to_thread(label, shelves, 4)
        async with asyncio.timeout(30):
            while asked.labels[-1] != "4":
                await asyncio.sleep(0.02)
    effects = [record.originator_id for _, record, _ in mirror.store.read(0, 100)]
    assert effects == ["s1", "s2", "s3", "s4"]


async def test_an_event_that_cannot_be_read_is_told_at_once_and_overtaken_by_none(
    nats_client: Client, nats_server: NatsServer
) -> None:
    js = nats_client.jetstream()
    await js.add_stream(name="SHELVES", subjects=["shelves.v1.>"])
    subject = "shelves.v1.shelf.{}.ShelfLabelled"
    await js.publish(subject.format("s1"), b"not JSON")
    event = ShelfLabelled(shelf_id="s2")
    about = Attributes(
        id="e", at=0, cause="c", actor="a", position=Position("shelves", "0" * 16, 2)
    )
    await js.publish(
        event.subject, msgspec.json.encode(event), headers=headers(event, about, source="shelves")
    )
    seen = Seen()
    labels = {"reaction": "mirror-on-shelf-labelled"}
    async with running(reactions(nats_server, seen)), asyncio.timeout(20):
        while not REGISTRY.get_sample_value("poison_events_total", labels):
            await asyncio.sleep(0.02)
        consumer = await js.consumer_info("SHELVES", "mirror-on-shelf-labelled")
        assert (consumer.num_ack_pending, consumer.num_pending) == (1, 1)
    assert seen.labels == []
