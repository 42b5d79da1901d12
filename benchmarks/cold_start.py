"""From nothing to answers: the streams read from their beginnings, and on from a kept view."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from time import perf_counter

import msgspec
import uvloop

from benchmarks import streams
from benchmarks.apart import apart
from benchmarks.bus import nats_server
from benchmarks.figures import Figure, at_most, compared, in_turn
from benchmarks.population import Population
from chargekey_common import jetstream
from chargekey_common.follower import Follower
from chargekey_common.jetstream import Bus
from chargekey_gateway import snapshots
from chargekey_gateway.snapshots import Place, Snapshot
from chargekey_gateway.view.view import SERVICES, View

# From the streams alone it takes so long that fewer have to do; each message costs the same.
FEWER = 200_000
IDENTIFICATIONS = 1_000_000
TAIL = 100_000


class _Task(msgspec.Struct, frozen=True):
    """What a process of its own is to do, with the server at this port."""

    port: int
    token: str
    population: Population
    file: Path | None = None

    @property
    def bus(self) -> Bus:
        return Bus(f"nats://127.0.0.1:{self.port}", lambda: self.token)


def figures() -> Iterator[Figure]:
    """Measure a start from the streams, and one from a kept view of many more."""
    fewer = Population.of(FEWER)
    with nats_server(sync="2m") as server:
        task = _Task(server.port, server.token, fewer)
        asyncio.run(streams.declare(server))
        streams.publish(server, "access", streams.told(fewer, "access"))
        streams.publish(server, "identity", streams.told(fewer, "identity"))
        yield compared(
            f"cold start from the streams, {FEWER:,} identifications",
            in_turn(partial(apart, _started, task), partial(apart, _bare, task)),
            unit="s",
            against="bare parser",
            goal=at_most(3),
        )
    many = Population.of(IDENTIFICATIONS)
    with nats_server(sync="2m") as server, tempfile.TemporaryDirectory() as directory:
        task = _Task(server.port, server.token, many, Path(directory) / "view")
        asyncio.run(streams.declare(server))
        streams.publish(server, "access", streams.told(many, "access"))
        identity = streams.told(many, "identity")
        kept = 2 * IDENTIFICATIONS - TAIL
        streams.publish(server, "identity", islice(identity, kept))
        apart(_keep, task)
        streams.publish(server, "identity", identity, after=kept)
        yield compared(
            f"cold start from a kept view, {TAIL:,} events since, {IDENTIFICATIONS:,}",
            in_turn(partial(apart, _started, task), partial(apart, _bare, task)),
            unit="s",
            against="bare parser",
            goal=at_most(0.6),
        )


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
    return uvloop.run(_read(task))


def _keep(task: _Task) -> None:
    """Write the view that has read the streams as far as they go by now."""
    if task.file is not None:
        snapshots.write(task.file, uvloop.run(_known(task)))


async def _known(task: _Task) -> Snapshot:
    client = await jetstream.connect(task.bus, "figures")
    infos = [await client.jetstream().stream_info(stream) for stream in streams.STREAMS]
    await client.close()
    ends = [info.state.last_seq for info in infos]
    view = View()
    gc.disable()
    for service, end in zip(SERVICES, ends, strict=True):
        messages = chain.from_iterable(streams.told(task.population, service))
        for event in islice(messages, end):
            view.apply(event)
    places = {
        name: Place(end, str(info.created))
        for name, end, info in zip(streams.STREAMS, ends, infos, strict=True)
    }
    positions = [
        streams.position("access", ends[0]),
        streams.position("identity", ends[1] * 2 // 3),
    ]
    return Snapshot(places, msgspec.structs.replace(view.saved(), positions=positions))


async def _read(task: _Task) -> float:
    """Read as a gateway does that starts; return how long it took."""
    client = await jetstream.connect(task.bus, "figures")
    began = perf_counter()
    gc.disable()
    view = View()
    places = {}
    snapshot = None if task.file is None else snapshots.read(task.file)
    if snapshot is not None:
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
    if view.identification(task.population.keyed_id(task.population.identifications - 1)) is None:
        message = "the last card is not known"
        raise AssertionError(message)
    return took
