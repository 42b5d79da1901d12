"""From nothing to answers: the streams read from their beginnings, and on from a kept view."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

import msgspec
import uvloop

from benchmarks import streams
from benchmarks.apart import apart
from benchmarks.figures import ROUNDS, Figure, at_most, compared
from benchmarks.population import Population
from chargekey_common import jetstream
from chargekey_common.follower import Follower
from chargekey_common.jetstream import Bus
from chargekey_common.nats_server import NatsServer
from chargekey_gateway import snapshots
from chargekey_gateway.snapshots import Place, Snapshot
from chargekey_gateway.view.view import SERVICES, View

IDENTIFICATIONS = 100_000
TAIL = 10_000


class _Task(msgspec.Struct, frozen=True):
    """What a process of its own is to do, with the server at this port."""

    port: int
    token: str
    file: Path
    after_file: bool = False

    @property
    def bus(self) -> Bus:
        return Bus(f"nats://127.0.0.1:{self.port}", lambda: self.token)


def figures() -> Iterator[Figure]:
    """Measure with a million identifications of half a million users."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        server = NatsServer(Path(directory) / "nats", token="figures", sync="2m")  # noqa: S106
        server.start()
        try:
            yield from _measured(server, Path(directory) / "view")
        finally:
            server.stop()


def _measured(server: NatsServer, file: Path) -> Iterator[Figure]:
    population = Population.of(IDENTIFICATIONS)
    asyncio.run(_declared(server))
    streams.publish(server, "access", streams.told(population, "access"))
    identity = streams.told(population, "identity")
    kept = 2 * IDENTIFICATIONS - TAIL
    streams.publish(server, "identity", islice(identity, kept))
    task = _Task(server.port, server.token, file)
    apart(_keep, task)
    streams.publish(server, "identity", identity, after=kept)
    bare, whole, again = [], [], []
    for _ in range(ROUNDS):
        bare.append(apart(_bare, task))
        whole.append(apart(_started, task))
        again.append(apart(_started, msgspec.structs.replace(task, after_file=True)))
    size = f"{IDENTIFICATIONS:,} identifications"
    yield compared(
        f"cold start from the streams, {size}",
        list(zip(whole, bare, strict=True)),
        unit="s",
        against="bare parser",
        goal=at_most(3),
    )
    yield compared(
        f"cold start from a kept view and {TAIL:,} events since, {size}",
        list(zip(again, bare, strict=True)),
        unit="s",
        against="bare parser",
        goal=at_most(0.6),
    )


async def _declared(server: NatsServer) -> None:
    client = await jetstream.connect(server.bus, "figures")
    await streams.declare(client)
    await client.close()


def _bare(task: _Task) -> float:
    async def made() -> list[tuple[str, str, int]]:
        client = await jetstream.connect(task.bus, "figures")
        consumers = list(await streams.consumers(client))
        await client.close()
        return consumers

    consumers = asyncio.run(made())
    gc.disable()
    began = perf_counter()
    streams.read_bare(task.port, task.token, consumers)
    return perf_counter() - began


def _started(task: _Task) -> float:
    return uvloop.run(_read(task))[0]


def _keep(task: _Task) -> None:
    _, snapshot = uvloop.run(_read(task))
    snapshots.write(task.file, snapshot)


async def _read(task: _Task) -> tuple[float, Snapshot]:
    """Read as a gateway does that starts; return how long it took, and what it knows then."""
    client = await jetstream.connect(task.bus, "figures")
    began = perf_counter()
    gc.disable()
    view = View()
    places = {}
    if task.after_file:
        snapshot = snapshots.read(task.file)
        if snapshot is None:
            raise FileNotFoundError(task.file)
        view.restore(snapshot.view)
        places = snapshot.places
    followers = []
    async with asyncio.TaskGroup() as reading:
        for service in SERVICES:
            place = places.get(service.upper(), Place(0, None))
            follower = Follower(
                client, service.upper(), view.follow, after=place.sequence, made=place.made
            )
            followers.append((follower, reading.create_task(follower.run())))
        for follower, _ in followers:
            await follower.caught_up.wait()
        gc.freeze()
        took = perf_counter() - began
        for _, run in followers:
            run.cancel()
    await client.close()
    read = {each.stream: Place(each.sequence, each.made) for each, _ in followers}
    return took, Snapshot(read, view.saved())
