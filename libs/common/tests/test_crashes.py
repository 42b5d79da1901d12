"""Killed between any two steps, nothing is lost, doubled, reordered or half done."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.client import Client

from chargekey_common.eventstore.store import EventStore
from chargekey_common.nats_server import NatsServer
from chargekey_common.published.envelope import attributes
from chargekey_common.relay import Relay

from .agreement import agree, events, running
from .dying import REACTING, RELAYING, SAVING, Life, begin, do, mirroring
from .shelves import Shelves, publication

OpenStore = Callable[..., EventStore]
COMMANDS = tuple(range(8))
ROUNDS = int(os.environ.get("CHARGEKEY_CRASH_ROUNDS", "5"))


async def killed(process: asyncio.subprocess.Process) -> str:
    """Wait for its end, which must be the one it was given; return what it said."""
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == -signal.SIGKILL
    return said.decode()


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("step", [*SAVING, *RELAYING])
async def test_a_service_killed_at_any_step_of_saving_and_relaying_has_told_every_event_once(
    nats_client: Client,
    nats_server: NatsServer,
    open_sqlite_store: OpenStore,
    tmp_path: Path,
    step: str,
    nth: int,
) -> None:
    life = Life(
        url=nats_server.url,
        token=nats_server.token,
        store=str(tmp_path / "shelves.db"),
        commands=COMMANDS,
        step=step,
        nth=nth,
    )
    await killed(await begin(life))
    shelves = Shelves(open_sqlite_store())
    async with running(Relay(nats_client, shelves.store, publication)):
        # Whoever got no answer asks again, under the same command id.
        for number in COMMANDS:
            await asyncio.to_thread(do, shelves, number)
        await agree(nats_client, shelves.store)
    causes = [record.cause for _, record, _ in shelves.store.read(0, 100)]
    assert causes == [f"c{number}" for number in COMMANDS]


def label(shelves: Shelves, *numbers: int) -> None:
    for number in numbers:
        do(shelves, number * 4)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("step", REACTING)
async def test_a_service_killed_at_any_step_of_a_reaction_has_every_effect_once(
    nats_client: Client,
    nats_server: NatsServer,
    open_sqlite_store: OpenStore,
    tmp_path: Path,
    step: str,
    nth: int,
) -> None:
    shelves = Shelves(open_sqlite_store())
    life = Life(
        url=nats_server.url,
        token=nats_server.token,
        mirror=str(tmp_path / "mirror.db"),
        step=step,
        nth=nth,
    )
    async with running(Relay(nats_client, shelves.store, publication)):
        await asyncio.to_thread(label, shelves, 1, 2, 3)
        await killed(await begin(life))
        mirror = Shelves(open_sqlite_store("mirror"))
        async with running(mirroring(mirror, life, lambda _: None)):
            # In strict order: with the last one's effect, every other has come.
            await asyncio.to_thread(label, shelves, 4)
            await effects(mirror, 4)
    assert [record.cause for _, record, _ in mirror.store.read(0, 100)] == [
        attributes(message.headers).id for message in await events(nats_client)
    ]


async def effects(mirror: Shelves, count: int) -> None:
    async with asyncio.timeout(30):
        while await asyncio.to_thread(mirror.store.end) < count:
            await asyncio.sleep(0.01)


async def test_a_service_killed_at_random_under_load_has_done_what_it_answered_and_once(
    nats_client: Client, nats_server: NatsServer, open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    answered: dict[str, str] = {}
    chance = random.Random()  # noqa: S311 - where a crash falls is no secret
    for name in range(ROUNDS):
        life = Life(
            url=nats_server.url,
            token=nats_server.token,
            name=f"r{name}",
            store=str(tmp_path / "shelves.db"),
            mirror=str(tmp_path / "mirror.db"),
            endless=True,
        )
        process = await begin(life)
        assert process.stdout is not None
        said = b""
        for _ in range(chance.randrange(1, 60)):
            said += await asyncio.wait_for(process.stdout.readline(), 60)
        process.kill()
        said += (await killed(process)).encode()
        # The last line may be cut off.
        lines = [line.split(" ") for line in said.decode().split("\n")[:-1]]
        answered |= {line[1]: line[2] for line in lines if line[0] == "answered"}
    shelves, mirror = Shelves(open_sqlite_store()), Shelves(open_sqlite_store("mirror"))
    log = {
        record.cause: shelves.store.position(number)
        for number, record, _ in shelves.store.read(0, 1_000_000)
    }
    assert answered == {cause: str(log[cause]) for cause in answered}
    async with (
        running(Relay(nats_client, shelves.store, publication)),
        running(mirroring(mirror, life, lambda _: None)),
    ):
        await agree(nats_client, shelves.store)
        labelled = [m for m in await events(nats_client) if m.subject.endswith("ShelfLabelled")]
        await effects(mirror, len(labelled))
    assert [record.cause for _, record, _ in mirror.store.read(0, 1_000_000)] == [
        attributes(message.headers).id for message in labelled
    ]
