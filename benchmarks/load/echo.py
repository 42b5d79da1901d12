"""TCP and nothing else, on uvloop: `python -m benchmarks.load.echo`."""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.load.chargers import ANSWER_SIZE
from benchmarks.load.running import told
from chargekey_common import process
from chargekey_common.process import Lifetime

BACKLOG = 4096
GREETING = b"!"
ANSWER = bytes(ANSWER_SIZE)


class Echo(asyncio.Protocol):
    """Greets, so that who connects knows that it is accepted; then answers what comes.

    By as many bytes as the gateway would. It does not look at what came.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._write = cast("asyncio.Transport", transport).write
        self._write(GREETING)

    def data_received(self, _data: bytes) -> None:
        """Answer."""
        self._write(ANSWER)


async def start(lifetime: Lifetime) -> None:
    """Listen, and tell where."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=BACKLOG)
    lifetime.closing.callback(server.close)
    told(server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    process.run(start)
