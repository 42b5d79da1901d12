"""The portal as a browser meets it: over a socket, whole answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from chargekey_common.http_server import HttpServer
from chargekey_portal.app import portal
from chargekey_portal.guard import Guard
from chargekey_portal.services import Service

OCPP_URL = "ws://127.0.0.1:8887/ocpp"


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> dict[str, object]:
        assert self.headers["content-type"] == "application/json"
        return msgspec.json.decode(self.body, type=dict[str, object])


class Portal(msgspec.Struct, frozen=True):
    port: int

    async def get(
        self, path: str, *, method: str = "GET", host: str | None = "localhost"
    ) -> Answer:
        """Send one request, and read all that is answered."""
        named = "" if host is None else f"Host: {host}\r\n"
        version = "1.0" if host is None else "1.1"
        request = f"{method} {path} HTTP/{version}\r\n{named}Connection: close\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request.encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        finally:
            writer.close()
        first, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        assert len(headers) == len(lines), "a header stands there twice"
        return Answer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def serving(ask: Callable[[], Awaitable[tuple[Service, ...]]]) -> AsyncIterator[Portal]:
    """Serve on a free port for the length of the block; `portal.test` is its own address."""
    http = HttpServer(Guard(portal(ask, OCPP_URL), {"Portal.Test"}), "127.0.0.1:0")
    async with asyncio.TaskGroup() as group:
        group.create_task(http.run())
        yield Portal(http.port)
        await http.stop()
