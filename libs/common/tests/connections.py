"""What of this process is connected to a server, also to one that never says a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from chargekey_common.jetstream import Bus
from chargekey_common.nats_server import NatsServer


def connections(server: NatsServer) -> int:
    """Return how many connections there are."""
    opened = psutil.Process().net_connections("tcp")
    return sum(1 for each in opened if each.raddr and each.raddr.port == server.port)


class Silent:
    """A server that takes connections: `accepted` by one, and `ended` with it."""

    def __init__(self) -> None:
        self.bus = Bus("")
        self.accepted, self.ended = asyncio.Event(), asyncio.Event()

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.set()
        await reader.read()
        self.ended.set()
        writer.close()


@asynccontextmanager
async def silence() -> AsyncIterator[Silent]:
    """Run one for the length of the block."""
    silent = Silent()
    async with await asyncio.start_server(silent.hold, "127.0.0.1", 0) as server:
        silent.bus = Bus(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield silent
