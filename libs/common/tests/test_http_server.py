"""What clients cannot do to an HTTP server: hold it open, or all of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from chargekey_common import http_server
from chargekey_common.http_server import HttpServer
from chargekey_common.process import Lifetime
from chargekey_common.testing.waiting import until

WHOLE = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
BEGUN = b"GET / HTTP/1.1\r\nHost: "


class Served:
    """A server, and what its application waits for before it answers."""

    def __init__(self) -> None:
        self.turn = asyncio.Event()
        self.asked = 0
        routes = [
            Route("/", self._answer, methods=["GET", "POST"]),
            Route("/much", self._much),
        ]
        self.http = HttpServer(Starlette(routes=routes), "127.0.0.1:0")

    async def _answer(self, _: Request) -> Response:
        self.asked += 1
        await self.turn.wait()
        return PlainTextResponse("well")

    async def _much(self, _: Request) -> Response:
        self.asked += 1
        return PlainTextResponse("x" * (1 << 26))

    @asynccontextmanager
    async def connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    server = Served()
    lifetime = Lifetime()
    lifetime.own(server.http.run(), "http")
    lifetime.closing.push_async_callback(server.http.stop)
    await until(lambda: server.http.serving)
    try:
        yield server
    finally:
        server.turn.set()
        well = await lifetime.close()
    assert well


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Return what is answered to one request."""
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(len(b"well"))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the server closes, or resets what it did not read of."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(30):
            while some := await reader.read(1024):
                found += some
    return found


@pytest.mark.parametrize("sent", [b"", b"G", BEGUN])
async def test_a_connection_on_which_no_head_of_a_request_comes_is_closed(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F31."""
    monkeypatch.setattr(http_server, "PATIENCE", 0.05)
    async with served() as server, server.connection() as (reader, writer):
        writer.write(sent)
        assert await rest(reader) == b""
        assert not server.asked


async def test_what_comes_byte_by_byte_has_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """F31: also the second head of a connection, which no keep-alive counts the time of."""
    monkeypatch.setattr(http_server, "PATIENCE", 0.2)

    async def drip(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async with served() as server, server.connection() as (reader, writer):
        server.turn.set()
        writer.write(WHOLE)
        assert b" 200 " in await answer(reader)
        writer.write(BEGUN)
        dripping = asyncio.create_task(drip(writer))
        assert await rest(reader) == b""
        dripping.cancel()


async def test_a_body_that_is_still_coming_once_it_is_answered_has_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F31."""
    monkeypatch.setattr(http_server, "PATIENCE", 0.05)
    async with served() as server, server.connection() as (reader, writer):
        server.turn.set()
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\nx")
        assert b" 200 " in await answer(reader)
        writer.write(b"x")
        assert await rest(reader) == b""


async def test_who_is_being_answered_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """F31: a stream lasts, and its connection takes another request after it."""
    monkeypatch.setattr(http_server, "PATIENCE", 0.05)
    async with served() as server, server.connection() as (reader, writer):
        writer.write(WHOLE)
        await until(lambda: server.asked == 1)
        async with server.connection() as (later, _):
            # Begun later, so its time is over later.
            assert await rest(later) == b""
        server.turn.set()
        assert b" 200 " in await answer(reader)
        writer.write(WHOLE)
        assert b" 200 " in await answer(reader)


async def test_one_connection_too_many_is_closed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F31: who is answered counts, and there is room again for whoever comes when one ends."""
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(http_server, "PATIENCE", 1000.0)
    async with served() as server, server.connection() as (mine, my_writer):
        my_writer.write(WHOLE)
        async with server.connection() as (_, other_writer):
            other_writer.write(WHOLE)
            await until(lambda: server.asked == 2)
            async with server.connection() as (refused, _):
                assert await rest(refused) == b""
        server.turn.set()
        assert b" 200 " in await answer(mine)
        connections = server.http._server.server_state.connections  # noqa: SLF001 - nobody else is told
        await until(lambda: len(connections) == 1)
        async with server.connection() as (reader, writer):
            writer.write(WHOLE)
            assert b" 200 " in await answer(reader)


async def test_who_does_not_read_his_answer_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "PATIENCE", 0.2)
    async with served() as server, server.connection() as (reader, writer):
        reader._limit = 1  # type: ignore[attr-defined] # noqa: SLF001 - reads no more than it is asked to
        writer.write(b"GET /much HTTP/1.1\r\nHost: here\r\n\r\n")
        open_ones = server.http._server.server_state.connections  # noqa: SLF001 - who is still there
        await until(lambda: server.asked == 1)
        await until(lambda: not open_ones)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            got = await reader.read()
        assert len(got) < 1 << 26


async def test_who_reads_slowly_and_reads_gets_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "PATIENCE", 5.0)
    async with served() as server, server.connection() as (reader, writer):
        writer.write(b"GET /much HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(30):
            assert len(await reader.read()) > 1 << 26
