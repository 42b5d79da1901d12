"""A way to a server on which everything may be lost, as where a host is gone without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Way:
    """Begins at a `port` of its own, and carries what is sent there until it is told to lose it."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self._to = to
        self._ways: list[asyncio.Task[None]] = []
        self._ends: list[asyncio.StreamWriter] = []

    def lose(self) -> None:
        """Let nothing more through of the connections that are open, and close none."""
        for each in self._ways:
            each.cancel()

    def close(self) -> None:
        """Lose everything, and end the connections."""
        self.lose()
        for end in self._ends:
            end.close()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let a connection that was made here go on there."""
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends += [writer, back]
        for source, target in ((reader, back), (there, writer)):
            self._ways.append(asyncio.create_task(self._pass_on(source, target)))

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            target.write(data)
        target.close()


@asynccontextmanager
async def way(to: int) -> AsyncIterator[Way]:
    """Open one to a port of this machine."""
    opened = Way(to)
    async with await asyncio.start_server(opened.carry, "127.0.0.1", 0) as server:
        opened.port = server.sockets[0].getsockname()[1]
        try:
            yield opened
        finally:
            opened.close()
