"""What clients cannot do to an HTTP server: hold it open, or all of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

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
            Route("/some", self._some),
            Route("/much", self._much),
        ]
        self.http = HttpServer(Starlette(routes=routes), "127.0.0.1:0")

    async def _answer(self, _: Request) -> Response:
        self.asked += 1
        await self.turn.wait()
        return PlainTextResponse("well")

    async def _some(self, _: Request) -> Response:
        self.asked += 1
        return PlainTextResponse("x" * 30_000)

    async def _much(self, _: Request) -> Response:
        self.asked += 1
        await self.turn.wait()
        return PlainTextResponse("x" * (1 << 26))

    @asynccontextmanager
    async def connection(
        self, room: int = 1 << 20
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect; of what nobody reads the system takes so many bytes."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        client.setblocking(False)  # noqa: FBT003 - it takes no name
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.http.port))
        reader, writer = await asyncio.open_connection(sock=client, limit=1 << 16)
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


class Patience:
    """That of all connections, which is over when the test says so, and not before."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.TimerHandle, Callable[..., object], Any]] = []

    def of(self, loop: asyncio.AbstractEventLoop) -> Any:
        """Return `loop` as a connection is to see it."""

        def call_later(
            delay: float, callback: Callable[..., object], *args: Any
        ) -> asyncio.TimerHandle:
            if delay != http_server.PATIENCE:
                return loop.call_later(delay, callback, *args)
            handle = loop.call_later(1000, callback, *args)
            self._waiting.append((handle, callback, args))
            return handle

        return SimpleNamespace(call_later=call_later, create_task=loop.create_task)

    def __len__(self) -> int:
        return sum(not handle.cancelled() for handle, _, _ in self._waiting)

    def over(self) -> int:
        """Do what was to be done then; return how much that was."""
        due = [each for each in self._waiting if not each[0].cancelled()]
        self._waiting.clear()
        for handle, callback, args in due:
            handle.cancel()
            callback(*args)
        return len(due)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Patience:
    patience = Patience()
    begin = http_server._Connection.__init__  # noqa: SLF001 - nobody else is told when it ends

    def seen(self: Any, *args: Any, **how: Any) -> None:
        begin(self, *args, **how)
        self.loop = patience.of(self.loop)

    monkeypatch.setattr(http_server._Connection, "__init__", seen)  # noqa: SLF001 - as above
    return patience


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Return what is answered to one request."""
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(len(b"well"))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the server closes, or resets what it did not read of."""
    found = bytearray()
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(30):
            while some := await reader.read(1 << 20):
                found += some
    return bytes(found)


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

    async def drip(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async with served() as server, server.connection() as (reader, writer):
        writer.write(WHOLE)
        await until(lambda: server.asked == 1)
        # Not before: the first head may take its time to come.
        monkeypatch.setattr(http_server, "PATIENCE", 0.2)
        server.turn.set()
        assert b" 200 " in await answer(reader)
        writer.write(BEGUN)
        dripping = asyncio.create_task(drip(writer))
        assert await rest(reader) == b""
        dripping.cancel()


async def test_a_body_that_is_still_coming_once_it_is_answered_has_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F31."""
    async with served() as server, server.connection() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\nx")
        await until(lambda: server.asked == 1)
        monkeypatch.setattr(http_server, "PATIENCE", 0.05)
        server.turn.set()
        assert b" 200 " in await answer(reader)
        writer.write(b"x")
        assert await rest(reader) == b""


async def test_who_is_being_answered_is_waited_for(patience: Patience) -> None:
    """F31: a stream lasts, and its connection takes another request after it."""
    async with served() as server, server.connection() as (reader, writer):
        writer.write(WHOLE)
        await until(lambda: server.asked == 1)
        async with server.connection() as (later, _):
            await until(patience.over)
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
    async with served() as server, server.connection() as (reader, writer):
        reader._limit = 1  # type: ignore[attr-defined] # noqa: SLF001 - reads no more than it is asked to
        writer.write(b"GET /much HTTP/1.1\r\nHost: here\r\n\r\n")
        open_ones = server.http._server.server_state.connections  # noqa: SLF001 - who is still there
        await until(lambda: server.asked == 1)
        monkeypatch.setattr(http_server, "PATIENCE", 0.2)
        server.turn.set()
        await until(lambda: not open_ones)
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while some := await reader.read(1 << 16):
                got += len(some)
        assert got < 1 << 26


@asynccontextmanager
async def left_of_a_short_answer(
    server: Served,
) -> AsyncIterator[tuple[Any, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield the server's connection, which has some of it left to send, and the client's ends."""
    # The system takes hardly any of it, at either end.
    server.http._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # noqa: SLF001 - as above
    async with server.connection(room=1) as (reader, writer):
        reader._limit = 1  # type: ignore[attr-defined] # noqa: SLF001 - as above
        writer.write(b"GET /some HTTP/1.1\r\nHost: here\r\n\r\n")
        await until(lambda: server.asked == 1)
        [connection] = server.http._server.server_state.connections  # noqa: SLF001 - as above
        await until(lambda: connection.cycle.response_complete)
        assert connection.transport.get_write_buffer_size() > 0
        yield connection, reader, writer


async def test_who_does_not_read_the_end_of_a_short_answer_is_waited_for_no_longer(
    patience: Patience,
) -> None:
    """F31: of so little nobody is asked to write less."""
    async with served() as server, left_of_a_short_answer(server):
        open_ones = server.http._server.server_state.connections  # noqa: SLF001 - as above

        def gone() -> bool:
            patience.over()
            return not open_ones

        await until(gone)


async def test_what_was_left_of_one_answer_says_nothing_of_the_next(patience: Patience) -> None:
    async with (
        served() as server,
        left_of_a_short_answer(server) as (connection, reader, writer),
    ):
        reader._limit = 1 << 16  # type: ignore[attr-defined] # noqa: SLF001 - as above
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(30_000)
        writer.write(b"GET /much HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        server.turn.set()
        await until(lambda: connection.transport.get_write_buffer_size() > 1 << 25)
        for _ in range(8):
            await reader.readexactly(http_server.LEAST_READ)
        assert patience.over() == 1
        await reader.readexactly(1 << 20)


async def test_who_reads_slowly_and_reads_gets_it_whole(patience: Patience) -> None:
    """So much of it each time that nobody would wait any longer for who reads less."""
    async with served() as server, server.connection(room=1 << 18) as (reader, writer):
        writer.write(b"GET /much HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        server.turn.set()
        got = len(await reader.read(1))
        for _ in range(3):
            await until(lambda: len(patience) == 1)
            enough = got + 8 * http_server.LEAST_READ  # his system tells of it when it is a lot
            while got < enough:
                got += len(await reader.read(1 << 16))
            assert patience.over() == 1
        assert got + len(await rest(reader)) > 1 << 26


async def test_who_reads_too_little_at_a_time_is_waited_for_no_longer(
    patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F31: a byte now and then holds no connection for good."""
    monkeypatch.setattr(http_server, "LEAST_READ", 1 << 26)
    async with served() as server, server.connection() as (reader, writer):
        writer.write(b"GET /much HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        server.turn.set()
        got = len(await reader.readuntil(b"\r\n\r\n"))
        await until(patience.over)
        assert got + len(await rest(reader)) < 1 << 26
