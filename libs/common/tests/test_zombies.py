"""A relay that slept while another went on in its place harms nothing when it wakes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from chargekey_common.eventstore.store import EventStore
from chargekey_common.nats_server import NatsServer
from chargekey_common.relay import Relay

from .agreement import agree, running
from .dying import Life, begin, do
from .shelves import Shelves, publication

OpenStore = Callable[..., EventStore]
ERASING = ("translated", "before erasing", "erased")


@asynccontextmanager
async def asleep(life: Life) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that fell asleep at its step; it is ended in the end."""
    process = await begin(life)
    try:
        _, status = await asyncio.wait_for(
            asyncio.to_thread(os.waitpid, process.pid, os.WUNTRACED), 60
        )
        assert os.WIFSTOPPED(status)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def heard(process: asyncio.subprocess.Process, line: str) -> list[str]:
    """Wait for a line; return all up to it."""
    assert process.stdout is not None
    lines = [""]
    while lines[-1] != line:
        said = await asyncio.wait_for(process.stdout.readline(), 60)
        assert said, lines
        lines.append(said.decode().rstrip())
    return lines


def sleeper(server: NatsServer, store: Path, step: str, *commands: int) -> Life:
    return Life(
        url=server.url,
        token=server.token,
        store=str(store),
        commands=commands,
        step=step,
        nth=2 if step == "translated" else 1,  # first it looks its bookmark up
        by=signal.SIGSTOP,
    )


@pytest.mark.parametrize(
    "step", ["translated", "before erasing", "erased", "before publish", "half sent", "sent"]
)
async def test_a_relay_that_slept_anywhere_writes_nothing_late_and_erases_nothing_newer(
    nats_client: Client,
    nats_server: NatsServer,
    open_sqlite_store: OpenStore,
    tmp_path: Path,
    step: str,
) -> None:
    path = tmp_path / "shelves.db"
    seed = Shelves(open_sqlite_store())
    async with running(Relay(nats_client, seed.store, publication)):
        for number in (0, 1, 2):
            await asyncio.to_thread(do, seed, number)
        await agree(nats_client, seed.store)
    seed.store.close()
    command = 3 if step in ERASING else 4  # clears a shelf, or labels one
    async with asleep(sleeper(nats_server, path, step, command)) as zombie:
        # What kept a second process out is gone, as with a volume attached twice.
        path.with_suffix(".lock").unlink()
        other = Shelves(open_sqlite_store())
        async with running(Relay(nats_client, other.store, publication)):
            for number in (6, 8, 9, 12):
                await asyncio.to_thread(do, other, number)
            await agree(nats_client, other.store)
            zombie.send_signal(signal.SIGCONT)
            said = await heard(zombie, f"told {other.store.end()}")
            await agree(nats_client, other.store)
            assert step in ERASING or "refused 10071" in said
            await asyncio.to_thread(do, other, 16)
            await heard(zombie, f"told {other.store.end()}")
            await agree(nats_client, other.store)


async def test_a_relay_that_slept_through_a_restore_writes_nothing_into_the_new_stream(
    nats_client: Client, nats_server: NatsServer, open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    seed = Shelves(open_sqlite_store())
    async with running(Relay(nats_client, seed.store, publication)):
        for number in (0, 1, 2):
            await asyncio.to_thread(do, seed, number)
        await agree(nats_client, seed.store)
    seed.store.close()
    shutil.copy(tmp_path / "shelves.db", tmp_path / "restored.db")
    async with asleep(sleeper(nats_server, tmp_path / "shelves.db", "before publish", 4)) as zombie:
        restored = Shelves(open_sqlite_store("restored"))
        restored.store.recorder.begin_new_generation()
        async with running(Relay(nats_client, restored.store, publication)):
            # As many messages as the sleeper expects to find.
            await agree(nats_client, restored.store)
            zombie.send_signal(signal.SIGCONT)
            assert await asyncio.wait_for(zombie.wait(), 60) == 1
            await asyncio.to_thread(do, restored, 8)
            await agree(nats_client, restored.store)
