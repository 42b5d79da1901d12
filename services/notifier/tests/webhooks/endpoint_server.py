"""A real HTTP server as a partner's endpoint, of which every test says how it behaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from chargekey_common.testing.waiting import until


class Posted:
    """One request, as it arrived; `connection` ends when its sender waits no longer."""

    def __init__(
        self, line: str, headers: dict[str, str], body: bytes, connection: asyncio.StreamReader
    ) -> None:
        self.method, self.target, _ = line.split(" ")
        self.headers = headers
        self.body = body
        self.connection = connection

    @property
    def number(self) -> int:
        """Its place in the feed."""
        return int(json.loads(self.body)["sequence"])


Behave = Callable[[Posted, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int = 200, *more: str, body: bytes = b"") -> Behave:
    async def behave(_: Posted, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} So", f"content-length: {len(body)}", *more, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return behave


async def never(_: Posted, __: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await asyncio.Event().wait()


async def hang_up(_: Posted, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def drop_by_drop(_: Posted, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, so that no single read takes long."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless(_: Posted, writer: asyncio.StreamWriter) -> None:
    """Take the event, and say so for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


def in_turn(first: Iterable[Behave], then: Behave) -> Behave:
    """Behave like each once, and then always like the last."""
    rest = iter(first)

    async def behave(posted: Posted, writer: asyncio.StreamWriter) -> None:
        await next(rest, then)(posted, writer)

    return behave


class EndpointServer:
    """Remembers what it was sent; `behave` is how it answers."""

    def __init__(self) -> None:
        self.behave: Behave = answer()
        self.posted: list[Posted] = []
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def numbers(self) -> list[int]:
        return [each.number for each in self.posted]

    async def has(self, *numbers: int) -> None:
        """Return once it was sent these, and nothing else, in this order."""
        await until(lambda: len(self.posted) >= len(numbers))
        assert self.numbers == list(numbers)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                    pairs = [line.split(": ", 1) for line in head[1:] if line]
                    headers = {name.lower(): value for name, value in pairs}
                    body = await reader.readexactly(int(headers.get("content-length", 0)))
                    posted = Posted(head[0], headers, body, reader)
                    self.posted.append(posted)
                    await self.behave(posted, writer)
                    await writer.drain()
        finally:
            self._connections.discard(task)
            writer.close()


@contextlib.asynccontextmanager
async def an_endpoint() -> AsyncIterator[EndpointServer]:
    server = EndpointServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
