"""Reactions: in order, again after a failure, once in effect whatever the bus forgets."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable
from typing import ClassVar

import msgspec
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from prometheus_client import REGISTRY

from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.jetstream import Bus
from chargekey_common.nats_server import NatsServer
from chargekey_common.positions import Position
from chargekey_common.process import cancel
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.reactions import On, Reactions
from chargekey_common.relay import Relay
from chargekey_common.testing.streams import make_stream
from chargekey_common.testing.waiting import until
from chargekey_common.testing.ways import way

from .agreement import running
from .connections import connections, silence
from .shelves import ShelfLabelled, Shelves, publication

OpenStore = Callable[..., EventStore]
NAME = "mirror-on-shelf-labelled"


class Seen:
    """A reaction that keeps what it was asked, failing as often as it is told to."""

    def __init__(self, mirror: Shelves, failures: int = 0) -> None:
        self.mirror = mirror
        self.labels: list[str] = []
        self.failures = failures
        self._grown = asyncio.Condition()

    async def react(self, event: ShelfLabelled, reaction: Reaction) -> None:
        assert reaction.handled.reaction == NAME
        if self.failures:
            self.failures -= 1
            reason = "not now"
            raise RuntimeError(reason)
        await asyncio.to_thread(self.mirror.react, reaction, event.shelf_id)
        async with self._grown:
            self.labels.append(event.label)
            self._grown.notify_all()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(30), self._grown:
            await self._grown.wait_for(lambda: len(self.labels) >= count)

    async def wait_for(self, label: str) -> None:
        async with asyncio.timeout(30), self._grown:
            await self._grown.wait_for(lambda: label in self.labels)

    def effects(self) -> list[str]:
        return [record.originator_id for _, record, _ in self.mirror.store.read(0, 1000)]


def reactions(
    server: NatsServer, seen: Seen, event: type[PublishedEvent] = ShelfLabelled
) -> Reactions:
    return Reactions("mirror", server.bus, seen.mirror.store, On(event, seen.react))


def label(shelves: Shelves, *numbers: int) -> list[str]:
    for number in numbers:
        shelves.label(Context("me", f"label-{number}"), shelf_id=f"s{number}", label=str(number))
    return [str(number) for number in numbers]


async def test_events_arrive_in_order_also_when_one_fails_for_a_while(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    seen = Seen(Shelves(open_store("mirror")), failures=2)
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
    seen = Seen(Shelves(open_store("mirror")))
    async with running(Relay(nats_client, shelves.store, publication)):
        async with running(reactions(nats_server, seen)):
            await asyncio.to_thread(label, shelves, 1, 2)
            await seen.wait(2)
        await asyncio.to_thread(label, shelves, 3)
        async with running(reactions(nats_server, seen)):
            await seen.wait(3)
    assert seen.labels == ["1", "2", "3"]


@pytest.mark.parametrize("end", [NatsServer.stop, NatsServer.kill])
async def test_a_refilled_bus_is_heard_again_in_full_and_repeats_no_effect(
    nats_client: Client,
    nats_server: NatsServer,
    open_store: OpenStore,
    end: Callable[[NatsServer], None],
) -> None:
    shelves, seen = Shelves(open_store()), Seen(Shelves(open_store("mirror")))
    async with running(
        reactions(nats_server, seen), Relay(nats_client, shelves.store, publication)
    ):
        await asyncio.to_thread(label, shelves, 1, 2, 3)
        await seen.wait(3)
        await asyncio.to_thread(end, nats_server)
        shutil.rmtree(nats_server.directory / "jetstream")
        await asyncio.to_thread(nats_server.start)
        await asyncio.to_thread(label, shelves, 4)
        await seen.wait_for("4")
        assert seen.labels == ["1", "2", "3", "1", "2", "3", "4"]
    assert seen.effects() == ["s1", "s2", "s3", "s4"]


async def test_a_restarted_bus_is_reacted_to_as_before(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    shelves, seen = Shelves(open_store()), Seen(Shelves(open_store("mirror")))
    async with running(
        reactions(nats_server, seen), Relay(nats_client, shelves.store, publication)
    ):
        await asyncio.to_thread(label, shelves, 1, 2)
        await seen.wait(2)
        await asyncio.to_thread(nats_server.stop)
        await asyncio.to_thread(label, shelves, 3)
        await asyncio.to_thread(nats_server.start)
        await seen.wait_for("3")  # an acknowledgement may be lost, and its event come again
    assert seen.effects() == ["s1", "s2", "s3"]


async def test_whoever_has_no_time_to_end_leaves_no_connection(
    shelves_stream: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    """Draining asks a server that does not answer, until whoever waits asks for the end again."""
    assert shelves_stream.is_connected
    hearing = reactions(nats_server, Seen(Shelves(open_store("mirror"))))
    others = connections(nats_server)
    task = asyncio.create_task(hearing.run())
    await hearing.reacting.wait()
    assert connections(nats_server) > others
    assert nats_server.process is not None
    nats_server.process.send_signal(signal.SIGSTOP)
    try:
        await cancel(task)
        await until(lambda: connections(nats_server) == others)
    finally:
        nats_server.process.send_signal(signal.SIGCONT)


async def test_whoever_ends_while_it_connects_leaves_no_connection(open_store: OpenStore) -> None:
    mirror = Shelves(open_store("mirror"))
    on = On(ShelfLabelled, Seen(mirror).react)
    async with silence() as silent, asyncio.timeout(20):
        hearing = asyncio.create_task(Reactions("mirror", silent.bus, mirror.store, on).run())
        await silent.accepted.wait()
        hearing.cancel()
        await asyncio.wait({hearing})
        assert hearing.cancelled()
        await silent.ended.wait()


async def publish(
    client: Client, number: int, shelf: str, data: bytes | None = None, *, stored: bool = True
) -> None:
    """Publish what a relay would about a shelf; without data, something readable.

    Not `stored`, it is as in streams that no event store stands behind.
    """
    event = ShelfLabelled(shelf_id=shelf, label=str(number))
    about = Attributes(
        id=f"e{number}",
        at=0,
        cause="c",
        actor="a",
        position=Position("shelves", "0" * 16, number) if stored else None,
    )
    await client.jetstream().publish(
        event.subject,
        msgspec.json.encode(event) if data is None else data,
        headers=headers(event, about, source="shelves"),
    )


@pytest.fixture
async def shelves_stream(nats_client: Client) -> Client:
    await nats_client.jetstream().add_stream(name="SHELVES", subjects=["shelves.v1.>"])
    return nats_client


def sample(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"reaction": NAME}) or 0.0


NEWER = b'{"shelf_id":"s1","label":["a","b"]}'  # of a version with several labels


class NewerShelfLabelled(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "shelves"
    about: ClassVar[tuple[str, str]] = ("shelf", "shelf_id")

    shelf_id: str
    label: str | list[str] = ""


NewerShelfLabelled.__name__ = "ShelfLabelled"


async def test_a_bus_that_is_gone_without_a_word_is_left_for_one_that_answers(
    nats_client: Client,
    nats_server: NatsServer,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a host is lost: nothing says that its connections are dead."""
    monkeypatch.setattr("chargekey_common.reactions.PING_INTERVAL", 0.2)
    shelves, seen = Shelves(open_store()), Seen(Shelves(open_store("mirror")))
    async with way(nats_server.port) as there:
        bus = Bus(f"nats://127.0.0.1:{there.port}", lambda: nats_server.token)
        hearing = Reactions("mirror", bus, seen.mirror.store, On(ShelfLabelled, seen.react))
        async with running(hearing, Relay(nats_client, shelves.store, publication)):
            await asyncio.to_thread(label, shelves, 1)
            await seen.wait(1)
            there.lose()
            await asyncio.to_thread(label, shelves, 2)
            await seen.wait_for("2")
    assert seen.effects() == ["s1", "s2"]


async def test_an_unreadable_event_is_set_aside_and_overtaken_only_by_what_is_about_others(
    shelves_stream: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    seen = Seen(Shelves(open_store("mirror")))
    poisoned = sample("poison_events_total")
    await publish(shelves_stream, 1, "s1")
    await publish(shelves_stream, 2, "s1", NEWER)
    await publish(shelves_stream, 3, "s2")
    await publish(shelves_stream, 4, "s1")
    await publish(shelves_stream, 5, "s2")
    async with running(reactions(nats_server, seen)):
        await seen.wait(3)
    assert seen.effects() == ["s1", "s2", "s2"]
    waiting = seen.mirror.store.set_aside_for(NAME)
    assert [(event.event_id, event.about) for event in waiting] == [
        ("e2", "shelves.v1.shelf.s1"),
        ("e4", "shelves.v1.shelf.s1"),
    ]
    assert sample("poison_events_total") - poisoned == 1
    assert sample("events_set_aside") == 2
    async with running(reactions(nats_server, seen, NewerShelfLabelled)):
        await seen.wait(5)
        await publish(shelves_stream, 6, "s1")
        await seen.wait(6)
        async with asyncio.timeout(20):
            while sample("events_set_aside"):  # it is counted once more behind the last
                await asyncio.sleep(0.01)
    assert seen.effects() == ["s1", "s2", "s2", "s1", "s1", "s1"]
    assert seen.labels[3:] == [["a", "b"], "4", "6"]
    assert seen.mirror.store.set_aside_for(NAME) == []
    assert seen.mirror.store.handled(NAME) == Position("shelves", "0" * 16, 6)


async def test_what_is_set_aside_is_tried_now_and_then_and_still_overtaken_by_nothing(
    shelves_stream: Client,
    nats_server: NatsServer,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chargekey_common.reactions.AGAIN", 0.05)
    seen = Seen(Shelves(open_store("mirror")))
    await publish(shelves_stream, 1, "s1", NEWER)
    await publish(shelves_stream, 2, "s1")
    await publish(shelves_stream, 3, "s2")
    async with running(reactions(nats_server, seen)):
        await seen.wait(1)
    seen.failures = 3
    async with running(reactions(nats_server, seen, NewerShelfLabelled)):
        await seen.wait(3)
    assert seen.failures == 0
    assert seen.effects() == ["s2", "s1", "s1"]


async def test_an_event_set_aside_is_handled_once_however_often_the_stream_is_refilled(
    shelves_stream: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    seen = Seen(Shelves(open_store("mirror")))
    js = shelves_stream.jetstream()
    for _ in range(2):
        await publish(shelves_stream, 1, "s1", NEWER)
        await publish(shelves_stream, 2, "s2")
        heard = len(seen.labels)
        async with running(reactions(nats_server, seen)):
            await seen.wait(heard + 1)
        assert [event.event_id for event in seen.mirror.store.set_aside_for(NAME)] == ["e1"]
        await js.delete_stream("SHELVES")
        await make_stream(js, StreamConfig(name="SHELVES", subjects=["shelves.v1.>"]))
    for _ in range(2):
        async with running(reactions(nats_server, seen, NewerShelfLabelled)):
            await seen.wait(3)
    assert seen.effects() == ["s2", "s1"]


async def test_events_of_a_stream_without_a_store_are_reacted_to_once_in_each_life_of_it(
    shelves_stream: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    """Those of chargers, which the gateway publishes first and only there."""
    seen = Seen(Shelves(open_store("mirror")))
    js = shelves_stream.jetstream()
    await publish(shelves_stream, 1, "s1", stored=False)
    await publish(shelves_stream, 2, "s2", stored=False)
    for _ in range(2):
        async with running(reactions(nats_server, seen)):
            await seen.wait(2)
        assert seen.labels == ["1", "2"]
    await js.delete_consumer("SHELVES", NAME)  # it is made again, and hears all again
    await publish(shelves_stream, 3, "s3", stored=False)
    async with running(reactions(nats_server, seen)):
        await seen.wait_for("3")
    assert seen.effects() == ["s1", "s2", "s3"]
    await js.delete_stream("SHELVES")
    await make_stream(js, StreamConfig(name="SHELVES", subjects=["shelves.v1.>"]))
    await publish(shelves_stream, 4, "s4", stored=False)  # under the first one's number
    async with running(reactions(nats_server, seen)):
        await seen.wait_for("4")
    assert seen.effects() == ["s1", "s2", "s3", "s4"]


async def test_a_reaction_without_a_store_behind_its_stream_goes_back_with_a_restored_ledger(
    shelves_stream: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    await publish(shelves_stream, 1, "s1", stored=False)
    for name in ("mirror", "restored"):
        seen = Seen(Shelves(open_store(name)))
        async with running(reactions(nats_server, seen)):
            await seen.wait(1)
        assert seen.effects() == ["s1"]


async def test_a_message_that_no_relay_can_have_sent_is_counted_and_passed_over(
    shelves_stream: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    seen = Seen(Shelves(open_store("mirror")))
    before = sample("foreign_messages_total")
    js = shelves_stream.jetstream()
    await js.publish("shelves.v1.shelf.s1.ShelfLabelled", b"not JSON")
    await js.publish(
        "shelves.v1.shelf.s1.ShelfLabelled", b"{}", headers={"Chargekey-Position": "nonsense"}
    )
    await publish(shelves_stream, 1, "s1")
    async with running(reactions(nats_server, seen)):
        await seen.wait(1)
    assert seen.effects() == ["s1"]
    assert seen.mirror.store.set_aside_for(NAME) == []
    assert sample("foreign_messages_total") - before == 2


async def test_an_event_with_more_fields_is_read_and_other_types_never_reach_a_reaction(
    shelves_stream: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    """An additive change keeps the type."""
    seen = Seen(Shelves(open_store("mirror")))
    await publish(shelves_stream, 1, "s1", b'{"shelf_id":"s1","label":"1","colour":"red"}')
    await shelves_stream.jetstream().publish("shelves.v1.shelf.s1.ShelfPainted", b"{}")
    await publish(shelves_stream, 2, "s1")
    async with running(reactions(nats_server, seen)):
        await seen.wait(2)
    assert seen.labels == ["1", "2"]
    assert seen.mirror.store.set_aside_for(NAME) == []
