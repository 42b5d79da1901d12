"""A real HTTP server as the operator, of which every test says how it behaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

ALLOWED = b'{"allowed": "ALLOWED", "reference": "ref-1"}'


class Asked:
    """One request, as it arrived."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.target, _ = line.split(" ")
        self.headers = headers
        self.body = body

    @property
    def said(self) -> Any:
        return json.loads(self.body)


Behave = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, status: str = "200 OK", *more: str) -> Behave:
    async def behave(_: Asked, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *more, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return behave


async def never(_: Asked, __: asyncio.StreamWriter) -> None:
    """Take the question and say nothing."""
    await asyncio.Event().wait()


async def hang_up(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def endless(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


async def drop_by_drop(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, so that no single read takes long."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


class OperatorServer:
    """Remembers what it was asked; `behave` is how it answers."""

    def __init__(self) -> None:
        self.behave: Behave = answer(ALLOWED)
        self.asked: list[Asked] = []
        self.something = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tokens"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def has_been_asked(self, times: int) -> None:
        async with asyncio.timeout(30), self.something:
            await self.something.wait_for(lambda: len(self.asked) >= times)

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
                    asked = Asked(head[0], headers, body)
                    async with self.something:
                        self.asked.append(asked)
                        self.something.notify_all()
                    await self.behave(asked, writer)
                    await writer.drain()
        finally:
            self._connections.discard(task)
            writer.close()


@contextlib.asynccontextmanager
async def an_operator() -> AsyncIterator[OperatorServer]:
    server = OperatorServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
