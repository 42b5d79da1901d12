"""A store brought back from a backup, beside others that were not: every effect once, none lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.client import Client

from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.nats_server import NatsServer
from chargekey_common.published.envelope import attributes
from chargekey_common.reactions import On, Reactions
from chargekey_common.relay import Relay

from .agreement import agree, events, running
from .shelves import ShelfLabelled, Shelves, publication

OpenStore = Callable[..., EventStore]
NAME = "mirror-on-shelf-labelled"


def mirroring(server: NatsServer, mirror: Shelves) -> Reactions:
    async def react(_: ShelfLabelled, reaction: Reaction) -> None:
        await asyncio.to_thread(mirror.mirror, reaction)

    return Reactions("mirror", server.bus, mirror.store, On(ShelfLabelled, react))


def label(shelves: Shelves, *numbers: int) -> None:
    for number in numbers:
        shelves.label(Context("me", f"label-{number}"), shelf_id="s", label=str(number))


async def handled(mirror: Shelves, shelves: Shelves) -> None:
    """Wait until the reaction has come to the end of the other store."""
    end = shelves.store.position()
    async with asyncio.timeout(30):
        while await asyncio.to_thread(mirror.store.handled, NAME) != end:
            await asyncio.sleep(0.01)


def causes(mirror: Shelves) -> list[str]:
    return [record.cause for _, record, _ in mirror.store.read(0, 1000)]


async def ids(client: Client) -> list[str]:
    return [attributes(message.headers).id for message in await events(client)]


@pytest.mark.parametrize("running_meanwhile", [True, False])
async def test_a_restored_publisher_repeats_no_effect_takes_none_back_and_has_its_new_ones(
    nats_client: Client,
    nats_server: NatsServer,
    open_sqlite_store: OpenStore,
    tmp_path: Path,
    running_meanwhile: bool,
) -> None:
    lost = Shelves(open_sqlite_store())
    mirror = Shelves(open_sqlite_store("mirror"))
    label(lost, 1, 2)
    lost.store.close()
    shutil.copy(tmp_path / "shelves.db", tmp_path / "restored.db")
    lost = Shelves(open_sqlite_store())
    label(lost, 3, 4)
    reactions = mirroring(nats_server, mirror)
    async with running(reactions):
        async with running(Relay(nats_client, lost.store, publication)):
            await handled(mirror, lost)
        before = await ids(nats_client)
        assert causes(mirror) == before
        if running_meanwhile:
            await restore(nats_client, open_sqlite_store, mirror)
    if not running_meanwhile:
        async with running(mirroring(nats_server, mirror)):
            await restore(nats_client, open_sqlite_store, mirror)
    after = await ids(nats_client)
    assert after[:2] == before[:2]
    # The effects of what nobody knows any more stay: nobody can say what came of them.
    assert causes(mirror) == [*before, after[2]]


async def restore(client: Client, open_sqlite_store: OpenStore, mirror: Shelves) -> None:
    restored = Shelves(open_sqlite_store("restored"))
    restored.store.recorder.begin_new_generation()
    label(restored, 5)
    async with running(Relay(client, restored.store, publication)):
        await agree(client, restored.store)
        await handled(mirror, restored)


async def test_a_restored_reacting_service_hears_again_what_it_has_lost_the_effects_of(
    nats_client: Client, nats_server: NatsServer, open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    shelves = Shelves(open_sqlite_store())
    mirror = Shelves(open_sqlite_store("mirror"))
    async with running(Relay(nats_client, shelves.store, publication)):
        await asyncio.to_thread(label, shelves, 1, 2)
        async with running(mirroring(nats_server, mirror)):
            await handled(mirror, shelves)
        mirror.store.close()
        shutil.copy(tmp_path / "mirror.db", tmp_path / "restored.db")
        mirror = Shelves(open_sqlite_store("mirror"))
        await asyncio.to_thread(label, shelves, *range(3, 40))
        async with running(mirroring(nats_server, mirror)):
            await handled(mirror, shelves)
        restored = Shelves(open_sqlite_store("restored"))
        assert len(causes(restored)) == 2
        # Nobody publishes anything new: the bus believes that all has been heard.
        async with running(mirroring(nats_server, restored)):
            await handled(restored, shelves)
    assert causes(restored) == causes(mirror) == await ids(nats_client)


async def test_a_service_that_lost_nothing_hears_nothing_again(
    nats_client: Client, nats_server: NatsServer, open_sqlite_store: OpenStore
) -> None:
    shelves = Shelves(open_sqlite_store())
    mirror = Shelves(open_sqlite_store("mirror"))
    js = nats_client.jetstream()
    async with running(Relay(nats_client, shelves.store, publication)):
        await asyncio.to_thread(label, shelves, 1, 2)
        async with running(mirroring(nats_server, mirror)):
            await handled(mirror, shelves)
        made = (await js.consumer_info("SHELVES", NAME)).created
        # Behind others' events too, which the durable does not count.
        await asyncio.to_thread(shelves.clear, Context("me", "clear"), shelf_id="s")
        await agree(nats_client, shelves.store)
        async with running(mirroring(nats_server, mirror)):
            await asyncio.to_thread(label, shelves, 3)
            await handled(mirror, shelves)
        assert (await js.consumer_info("SHELVES", NAME)).created == made
