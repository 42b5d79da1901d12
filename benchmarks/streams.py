"""The streams of a population, written and read with as little as the protocol of NATS needs."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO

import msgspec
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig

from benchmarks.population import Population
from chargekey_common import jetstream
from chargekey_common.follower import Message
from chargekey_common.nats_server import NatsServer
from chargekey_common.positions import Position
from chargekey_common.published import identity
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.relay import END, GENERATION

STREAMS = ("ACCESS", "IDENTITY")
_GENERATION = "00000000000000f1"
# A year before anybody reads: nothing of it is remembered as the last week's.
_AT = int(dt.datetime(2025, 1, 1, tzinfo=dt.UTC).timestamp()) * 10**9
_UNACKNOWLEDGED = 2_000
_PULLED = 1_024
_CHUNK = 1 << 18

# What travels: the events, each with the private messages before it.
Told = tuple[PublishedEvent, ...]


def told(population: Population, service: str) -> Iterator[Told]:
    """Yield what the service publishes of the population, an event of its store at a time."""
    if service == "access":
        for event in population.access_events():
            yield (event,)
        return
    for key, added in population.cards():
        yield (key, added)
        user_id, identification_id = added.user_id, added.identification_id
        yield (identity.CodeReserved(user_id=user_id, identification_id=identification_id),)


def position(service: str, number: int) -> str:
    """Return where the service's event of this number is."""
    return str(Position(service, _GENERATION, number))


async def declare(server: NatsServer) -> None:
    """Declare the streams as relays do."""
    client = await jetstream.connect(server.bus, "figures")
    for stream in STREAMS:
        await client.jetstream().add_stream(
            StreamConfig(
                name=stream,
                subjects=[f"{stream.lower()}.v1.>"],
                storage=StorageType.FILE,
                metadata={GENERATION: _GENERATION, END: "0"},
            )
        )
    await client.close()


def publish(server: NatsServer, service: str, several: Iterable[Told], *, after: int = 0) -> int:
    """Publish them behind position `after`, as a relay would; return the last position."""
    number = after
    with connected(server.port, server.token) as connection:
        connection.sendall(b"SUB acks 1\r\n")
        acks = connection.makefile("rb")
        parts: list[bytes] = []
        waiting = 0
        for number, messages in enumerate(several, after + 1):
            for message in messages:
                waiting += 1
                last = waiting == _UNACKNOWLEDGED
                parts.append(_published(service, number, message, reply=b"acks " if last else b""))
                if last:
                    connection.sendall(b"".join(parts))
                    await_ack(acks)
                    parts, waiting = [], 0
        connection.sendall(b"".join(parts) + b"PING\r\n")
        while acks.readline() != b"PONG\r\n":
            pass
    return number


async def consumers(client: Client) -> Sequence[tuple[str, str, int]]:
    """Make a consumer of each stream as followers do: stream, consumer, how much there is."""
    made = []
    for stream in STREAMS:
        created = await client.jetstream().add_consumer(
            stream,
            ConsumerConfig(
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.NONE,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=60,
            ),
        )
        made.append((stream, created.name, created.num_pending or 0))
    return made


def read_bare(port: int, token: str, made: Sequence[tuple[str, str, int]]) -> None:
    """Read them to their ends and understand nothing but where each message ends.

    The least that anybody can do who reads by this protocol in Python.
    """
    with connected(port, token) as connection:
        connection.sendall(b"SUB here 1\r\n")
        for stream, consumer, pending in made:
            _read_bare(connection, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", pending)


def _read_bare(connection: socket.socket, subject: str, pending: int) -> None:
    asked = json.dumps({"batch": _PULLED, "no_wait": True})
    request = f"PUB {subject} here {len(asked)}\r\n{asked}\r\n".encode()
    connection.sendall(request * 2)
    buffer = b""
    seen = 0
    asked_for = 2 * _PULLED
    while seen < pending:
        buffer += connection.recv(_CHUNK)
        start = 0
        while True:
            end = buffer.find(b"\r\n", start)
            if end < 0:
                break
            line = buffer[start:end]
            if line.startswith(b"HMSG"):
                after = end + 4 + int(line[line.rindex(b" ") :])
                if after > len(buffer):
                    break
                seen += b"$JS.ACK." in line
                start = after
            else:  # PING, +OK
                start = end + 2
        buffer = buffer[start:]
        while asked_for - seen <= _PULLED and asked_for < pending:
            connection.sendall(request)
            asked_for += _PULLED


@contextlib.contextmanager
def connected(port: int, token: str) -> Iterator[socket.socket]:
    """Yield a bare socket that the server has let in."""
    about = {
        "user": "chargekey",
        "pass": token,
        "headers": True,
        "no_responders": False,
        "verbose": False,
    }
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"CONNECT " + json.dumps(about).encode() + b"\r\nPING\r\n")
        greeting = b""
        while b"PONG\r\n" not in greeting:
            greeting += connection.recv(_CHUNK)
        yield connection


def message(service: str, number: int, event: PublishedEvent) -> Message:
    """Return the message of an event, as a follower hands it over."""
    return Message(
        event.subject, number, msgspec.json.encode(event), _headers(service, number, event)
    )


def _headers(service: str, number: int, event: PublishedEvent) -> Mapping[str, str]:
    about = Attributes(
        id=f"{number:036}",
        at=_AT + number * 1000,
        cause=f"{number:036}",
        actor="user:00000000-0000-4000-8000-000000000000",
        position=Position(service, _GENERATION, number),
    )
    return headers(event, about, source=service)


def _published(service: str, number: int, event: PublishedEvent, *, reply: bytes) -> bytes:
    about = _headers(service, number, event)
    lines = "".join(f"{name}: {value}\r\n" for name, value in about.items())
    head = f"NATS/1.0\r\n{lines}\r\n".encode()
    data = msgspec.json.encode(event)
    told = f"{len(head)} {len(head) + len(data)}\r\n".encode()
    return b"HPUB %b %b%b%b%b\r\n" % (event.subject.encode(), reply, told, head, data)


def await_ack(answers: IO[bytes]) -> None:
    """Read until what was published last is acknowledged."""
    while not (line := answers.readline()).startswith(b"MSG"):
        pass  # PING and the like
    answers.read(int(line.split()[-1]) + 2)
