"""What NATS takes: of identifications, of listeners, and of sessions; and what it manages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from time import perf_counter, process_time
from typing import TypeVar

import msgspec
import psutil
import uvloop
from nats.js import JetStreamContext

from benchmarks import sessions, streams
from benchmarks.apart import apart
from benchmarks.bus import nats_server
from benchmarks.figures import Figure, alone
from benchmarks.population import Population
from chargekey_common import jetstream
from chargekey_common.follower import Follower
from chargekey_common.jetstream import Bus, OutMessage, StreamClient, publish_atomically
from chargekey_common.nats_server import NatsServer
from chargekey_gateway.registry import subject
from chargekey_gateway.sessions.running import Lock, RunningSession, RunningSessions
from chargekey_gateway.sessions.stream import (
    LOCK_BEFORE_EVENT,
    STREAM,
    declare,
    start_subject,
    stop_subject,
)

KNOWN = 300_000
MARKED, WITH_AN_ACK = 300_000, 1_000
# Memory is much the same each time, and settles slowly.
ROUNDS_OF_ROOM = 2
# A gateway has one connection, and listens there for each of its chargers.
GATEWAYS, OF_A_GATEWAY = 7, 15_000
CHARGING = 1_000
# As many gateways' starts and ends are under way at once.
AT_ONCE = 64
READINGS = 16
ROUNDS = 3
SETTLED_WITHIN = 30.0
LOOK = 3.0  # seconds
PEOPLE = Population.of(2 * CHARGING, chargers=CHARGING)

_Done = TypeVar("_Done")


def figures() -> Iterator[Figure]:
    """Measure what one more of each takes."""
    yield from _of_identifications()
    yield alone(
        "nats-server's memory of the marks that a session leaves in SESSIONS",
        [_of_marks() for _ in range(ROUNDS_OF_ROOM)],
        unit="B",
        against=f"{MARKED:,}, of start and end",
    )
    yield alone(
        "nats-server's memory a charger that is listened for",
        [_of_listeners() for _ in range(ROUNDS_OF_ROOM)],
        unit="B",
        against=f"{GATEWAYS} connections with {OF_A_GATEWAY:,} subjects each",
    )
    yield from _of_sessions()
    yield from _of_their_replay()


def _of_identifications() -> Iterator[Figure]:
    rounds = [_kept() for _ in range(ROUNDS_OF_ROOM)]
    for what, kept, unit in zip(
        ("nats-server's memory", "disk", "messages", "subjects"),
        zip(*rounds, strict=True),
        ("B", "B", "", ""),
        strict=True,
    ):
        name = f"{what} of an identification in IDENTITY"
        yield alone(name, kept, unit=unit, against=f"{KNOWN:,}, two a user")


def _kept() -> Sequence[float]:
    """Return memory, bytes on the disk, messages and subjects of each identification."""
    with nats_server(sync="2m") as server:
        asyncio.run(streams.declare(server))
        before = _settled(server)
        streams.publish(server, "identity", streams.told(Population.of(KNOWN), "identity"))
        taken = (_settled(server) - before, *asyncio.run(_state(server, "IDENTITY")))
    return [each / KNOWN for each in taken]


def _of_marks() -> float:
    """Return what a session leaves on subjects that nobody uses again."""
    with nats_server(sync="2m") as server:
        asyncio.run(_declared(server))
        before = _settled(server)
        with streams.connected(server.port, server.token) as connection:
            connection.sendall(b"SUB acks 1\r\n")
            acks = connection.makefile("rb")
            for first in range(0, MARKED, WITH_AN_ACK):
                numbers = range(first, first + WITH_AN_ACK)
                told = [f"PUB {start_subject(f'{each:032x}')} 0\r\n\r\n" for each in numbers]
                told += [f"PUB {stop_subject(MARKED + each)} 0\r\n\r\n" for each in numbers]
                told[-1] = told[-1].replace(" 0", " acks 0")
                connection.sendall("".join(told).encode())
                streams.await_ack(acks)
        return (_settled(server) - before) / MARKED


async def _declared(server: NatsServer) -> None:
    client = await jetstream.connect(server.bus, "figures")
    await declare(client.jetstream(), now=time.time_ns(), replicas=1)
    await client.close()


def _of_listeners() -> float:
    people = Population.of(1, chargers=GATEWAYS * OF_A_GATEWAY)
    with nats_server() as server, ExitStack() as connections:
        before = _settled(server)
        for gateway in range(GATEWAYS):
            connection = connections.enter_context(streams.connected(server.port, server.token))
            chargers = range(gateway * OF_A_GATEWAY, (gateway + 1) * OF_A_GATEWAY)
            for number, charger in enumerate(chargers):
                told = f"SUB {subject(people.charger_id(charger))} {number}\r\n"
                connection.sendall(told.encode())
            connection.sendall(b"PING\r\n")
            while not connection.recv(1024).endswith(b"PONG\r\n"):
                pass
        return (_settled(server) - before) / people.chargers


def _of_sessions() -> Iterator[Figure]:
    """As durable as in production: nothing is acknowledged before it is on the disk."""
    rounds = []
    for _ in range(ROUNDS):
        with nats_server() as server:
            rounds.append(apart(_written, server.port, server.token, _process(server).pid))
    against = f"{AT_ONCE} at once, each synced to the disk"
    for name, unit, values in (
        (
            "starts and ends of sessions a second, one stream",
            "1/s",
            [each.batches for each in rounds],
        ),
        ("... the gateway's CPU of each", "us", [each.own_cpu for each in rounds]),
        ("... nats-server's CPU of each", "us", [each.server_cpu for each in rounds]),
        ("readings of meters a second, one stream", "1/s", [each.messages for each in rounds]),
    ):
        yield alone(name, values, unit=unit, against=against)
    yield alone(
        "disk of a session in SESSIONS, its start and its end",
        [each.session_size for each in rounds],
        unit="B",
    )
    yield alone("disk of a reading in SESSIONS", [each.reading_size for each in rounds], unit="B")


class _Written(msgspec.Struct, frozen=True):
    """What one round found: rates a second, CPU in microseconds, sizes in bytes."""

    batches: float
    own_cpu: float
    server_cpu: float
    messages: float
    session_size: float
    reading_size: float


def _written(port: int, token: str, server: int) -> _Written:
    return uvloop.run(_write(_bus(port, token), psutil.Process(server)))


async def _write(bus: Bus, server: psutil.Process) -> _Written:
    client = await jetstream.connect(bus, "figures")
    js = client.jetstream()
    await declare(js, now=time.time_ns(), replicas=1)
    began, own, others = perf_counter(), process_time(), _cpu(server)
    charging = await _at_once([partial(_charged, client, each) for each in range(CHARGING)])
    took = perf_counter() - began
    own, others = process_time() - own, _cpu(server) - others
    _, size_of_sessions = await _sizes(js)
    told = [sessions.reading(each, 1) for each in charging]
    began = perf_counter()
    await _at_once([partial(_told, js, each) for each in told])
    took_readings = perf_counter() - began
    _, size = await _sizes(js)
    await client.close()
    batches = 2 * CHARGING
    return _Written(
        batches=batches / took,
        own_cpu=own / batches * 1e6,
        server_cpu=others / batches * 1e6,
        messages=CHARGING / took_readings,
        session_size=size_of_sessions / CHARGING,
        reading_size=(size - size_of_sessions) / CHARGING,
    )


def _of_their_replay() -> Iterator[Figure]:
    with nats_server(sync="2m") as server:
        rates = apart(_replayed, server.port, server.token)
    yield alone(
        "messages of SESSIONS read a second",
        rates,
        unit="1/s",
        against=f"{READINGS} readings a session",
    )


def _replayed(port: int, token: str) -> Sequence[float]:
    return uvloop.run(_replay(_bus(port, token)))


async def _replay(bus: Bus) -> Sequence[float]:
    client = await jetstream.connect(bus, "figures")
    js = client.jetstream()
    await declare(js, now=time.time_ns(), replicas=1)
    charging = await _at_once([partial(_charged, client, each) for each in range(CHARGING)])
    for number in range(READINGS):
        await _at_once([partial(_told, js, sessions.reading(each, number)) for each in charging])
    rates = []
    for _ in range(ROUNDS):
        known = RunningSessions()
        follower = Follower(client, STREAM, known.follow)
        began = perf_counter()
        following = asyncio.create_task(follower.run())
        await follower.caught_up.wait()
        rates.append((await _sizes(js))[0] / (perf_counter() - began))
        following.cancel()
        await asyncio.wait({following})
    await client.close()
    return rates


async def _charged(client: StreamClient, number: int) -> RunningSession:
    """Begin a session and end it, each as one batch."""
    begun = sessions.begin(PEOPLE, number)
    sequence = await publish_atomically(client, begun.messages, batch_id=f"begin-{number}")
    session = sessions.running(sequence, begun)
    over = sessions.end(session, Lock(sequence - LOCK_BEFORE_EVENT, held=True))
    await publish_atomically(client, over.messages, batch_id=f"end-{number}")
    return session


async def _told(js: JetStreamContext, message: OutMessage) -> None:
    await js.publish(message.subject, message.data, headers=dict(message.headers))


async def _at_once(work: Sequence[Callable[[], Awaitable[_Done]]]) -> list[_Done]:
    """Do all of it, so much at once, and return what came of it in no order."""
    waiting = iter(work)
    done: list[_Done] = []

    async def some() -> None:
        done.extend([await each() for each in waiting])

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    return done


async def _state(server: NatsServer, stream: str) -> tuple[int, int, int]:
    """Return how many bytes a stream has, how many messages, and on how many subjects."""
    client = await jetstream.connect(server.bus, "figures")
    told = await client.request(f"$JS.API.STREAM.INFO.{stream}")
    await client.close()
    # The library leaves out the subjects.
    state = msgspec.json.decode(told.data)["state"]
    return state["bytes"], state["messages"], state["num_subjects"]


async def _sizes(js: JetStreamContext) -> tuple[int, int]:
    """Return how many messages SESSIONS has, and how many bytes."""
    state = (await js.stream_info(STREAM)).state
    return state.messages, state.bytes


def _bus(port: int, token: str) -> Bus:
    return Bus(f"nats://127.0.0.1:{port}", lambda: token)


def _process(server: NatsServer) -> psutil.Process:
    if server.process is None:
        message = "the nats-server does not run"
        raise LookupError(message)
    return psutil.Process(server.process.pid)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _settled(server: NatsServer) -> int:
    """Return what it has in memory, once it gives nothing back any more."""
    process = _process(server)
    until = time.monotonic() + SETTLED_WITHIN
    memory = process.memory_info().rss
    while time.monotonic() < until:
        time.sleep(LOOK)
        before, memory = memory, process.memory_info().rss
        if memory >= before * 0.99:
            break
    return int(memory)
