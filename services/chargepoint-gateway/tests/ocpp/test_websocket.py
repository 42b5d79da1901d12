"""Chargers' WebSockets on a real server: the handshake, the guards, two with one identity."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import ocpp.v16
import pytest
import uvloop
from ocpp.routing import on
from ocpp.v16 import call, call_result
from ocpp.v16.enums import ConfigurationStatus, RemoteStartStopStatus
from structlog.testing import capture_logs
from websockets import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chargekey_gateway.api.charger_socket import ChargerSocket
from chargekey_gateway.api.websocket import DIALECTS, OcppServer
from chargekey_gateway.command_errors import ChargerOfflineError
from chargekey_gateway.commands import RemoteStop
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp16.routes import OCPP16

from .conftest import Door, gateway_with_cards

if TYPE_CHECKING:
    from .conftest import GatewayInMemory

OP_CONT, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG = 0, 1, 2, 8, 9, 10
PATIENCE = 20  # seconds after which a test fails and does not hang
HEARTBEAT = '[2,"1","Heartbeat",{}]'
EVERY_VERSION = pytest.mark.parametrize("version", sorted(DIALECTS))
START = {
    "connectorId": 1,
    "idTag": "card",
    "meterStart": 5,
    "timestamp": "2026-11-20T10:00:00Z",
}


async def heartbeat(socket: ClientConnection) -> None:
    """Demand an answer: the connection lives."""
    async with asyncio.timeout(PATIENCE):
        await socket.send(HEARTBEAT)
        while json.loads(await socket.recv())[:2] != [3, "1"]:
            pass


async def close_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code


def frame(opcode: int, data: bytes, *, fin: bool = True, rsv1: bool = False) -> bytes:
    """Return any frame, masked (with zeros), also one that RFC 6455 forbids."""
    head = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    if len(data) < 126:
        size = bytes([0x80 | len(data)])
    elif len(data) < 2**16:
        size = b"\xfe" + len(data).to_bytes(2)
    else:
        size = b"\xff" + len(data).to_bytes(8)
    return bytes([head]) + size + bytes(4) + data


class RawSocket:
    """A WebSocket of bytes: what a well-behaved client would never send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, opcode: int, data: bytes, *, fin: bool = True, rsv1: bool = False) -> None:
        self.writer.write(frame(opcode, data, fin=fin, rsv1=rsv1))

    async def receive(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readexactly(2)
            size = head[1] & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2))
            return head[0] & 0x0F, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        while True:
            opcode, data = await self.receive()
            if opcode == OP_CLOSE:
                return int.from_bytes(data[:2])

    async def gone(self) -> bytes:
        """Wait for the end of TCP, and return what came before it."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.reader.read()
        except ConnectionResetError:
            return b""


@contextlib.asynccontextmanager
async def raw(door: Door, **request: bytes) -> AsyncIterator[RawSocket]:
    """Open a raw WebSocket as the first charger; never answers anything by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
    token = base64.b64encode("CP/1 ä:a long enough password".encode())
    writer.write(
        b"GET /ocpp/CP%2F1%20%C3%A4 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        + base64.b64encode(secrets.token_bytes(16))
        + b"\r\nAuthorization: Basic "
        + token
        + b"\r\nSec-WebSocket-Protocol: "
        + request.get("subprotocol", b"ocpp1.6")
        + b"\r\n\r\n"
        + request.get("at_once", b"")
    )
    try:
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        yield RawSocket(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# A charger nobody here wrote.


class Peer(ocpp.v16.ChargePoint):
    """The `ocpp` library as a charger; it validates what it is sent by the schemas."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__("peer", socket, response_timeout=5)
        self.configured: dict[str, str] = {}
        self.stopped: asyncio.Queue[int] = asyncio.Queue()

    @on("ChangeConfiguration")
    def on_change_configuration(self, key: str, value: str) -> call_result.ChangeConfiguration:
        self.configured[key] = value
        return call_result.ChangeConfiguration(status=ConfigurationStatus.accepted)

    @on("RemoteStopTransaction")
    def on_remote_stop(self, transaction_id: int) -> call_result.RemoteStopTransaction:
        self.stopped.put_nowait(transaction_id)
        return call_result.RemoteStopTransaction(status=RemoteStartStopStatus.accepted)


@contextlib.asynccontextmanager
async def peer(door: Door) -> AsyncIterator[Peer]:
    async with door.open() as socket:
        charger = Peer(socket)
        listening = asyncio.create_task(charger.start())
        try:
            yield charger
        finally:
            listening.cancel()


async def test_a_real_charger_boots_taps_charges_and_stops(
    door: Door, gateway: GatewayInMemory
) -> None:
    """S0-24: a PIN opens a session."""
    now = dt.datetime.now(dt.UTC).isoformat()
    async with peer(door) as charger:
        boot = await charger.call(call.BootNotification("Model", "Vendor"), suppress=False)
        assert (boot.status, boot.interval) == ("Accepted", 300)
        tap = await charger.call(call.Authorize("#2468"), suppress=False)
        assert tap.id_tag_info["status"] == "Accepted"
        start = await charger.call(call.StartTransaction(1, "#2468", 0, now), suppress=False)
        assert start.id_tag_info["status"] == "Accepted"
        stop = call.StopTransaction(7, now, start.transaction_id, id_tag="#2468")
        await charger.call(stop, suppress=False)
        await charger.call(call.Heartbeat(), suppress=False)
        await charger.call(call.StatusNotification(1, "NoError", "Available"), suppress=False)
        assert charger.configured == {
            "TransactionMessageAttempts": "133",
            "TransactionMessageRetryInterval": "10",
        }
    assert gateway.ends[0]["transaction_id"] == start.transaction_id


async def test_a_real_charger_is_told_to_stop_what_was_refused(door: Door) -> None:
    """O25."""
    now = dt.datetime.now(dt.UTC).isoformat()
    async with peer(door) as charger:
        start = await charger.call(call.StartTransaction(1, "blocked", 0, now), suppress=False)
        assert start.id_tag_info["status"] == "Blocked"
        assert await charger.stopped.get() == start.transaction_id


async def test_a_running_session_is_stopped_from_here(door: Door) -> None:
    async with peer(door) as charger:
        await charger.call(call.Heartbeat(), suppress=False)
        connection = door.connection()
        assert (await connection.carry_out(RemoteStop(transaction_id=55))).accepted
        assert await charger.stopped.get() == 55


# The handshake.


async def test_an_unknown_identity_is_404(door: Door) -> None:
    """O2."""
    for identity in ("nobody", "", "a/b", "%FF"):
        with pytest.raises(InvalidStatus) as refused:
            await door.open(identity)
        assert refused.value.response.status_code == 404
    assert len(door.server) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic " + base64.b64encode("CP/1 ä:wrong".encode()).decode()},
        {"Authorization": "Basic " + base64.b64encode(b"other:a long enough password").decode()},
    ],
)
async def test_wrong_credentials_are_401(
    door: Door, gateway: GatewayInMemory, headers: dict[str, str]
) -> None:
    """O2, O12."""
    with pytest.raises(InvalidStatus) as refused:
        await door.open(additional_headers=headers)
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert (len(door.server), gateway.told) == (0, [])


async def test_a_key_may_be_sent_as_the_bytes_its_hex_stands_for(
    door: Door, gateway: GatewayInMemory
) -> None:
    """O12."""
    key = secrets.token_bytes(20)
    gateway.passwords["charger-1"] = key.hex()
    token = base64.b64encode("CP/1 ä:".encode() + key).decode()
    async with door.open(additional_headers={"Authorization": f"Basic {token}"}) as socket:
        await heartbeat(socket)
    async with door.open(password=key.hex()) as socket:
        await heartbeat(socket)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["ocpp1.6"], "1.6"),
        (["ocpp2.0.1", "ocpp1.6"], "2.0.1"),
        (["ocpp1.6", "ocpp2.1", "ocpp2.0.1"], "2.1"),
        (["ocpp2.0", "ocpp1.6"], "1.6"),
    ],
)
async def test_the_version_is_negotiated_by_header(
    door: Door, offered: list[str], chosen: str
) -> None:
    """O1: the best of both, whatever its URL says."""
    for said in ("", "?version=ocpp1.6", "?ocpp2.1", "?ocpp-version=2.0.1"):
        async with door.open("CP%2F1%20%C3%A4" + said, subprotocols=offered) as socket:
            assert socket.subprotocol == f"ocpp{chosen}"
            assert door.connection().version == chosen
        await _until(lambda: len(door.server) == 0)


@pytest.mark.parametrize("offered", [None, ["ocpp1.5"], ["ocpp2.0", "OCPP1.6"]])
async def test_without_a_common_version_the_handshake_is_finished_and_closed(
    door: Door, gateway: GatewayInMemory, offered: list[str] | None
) -> None:
    """O1."""
    async with door.open(subprotocols=offered) as socket:
        assert socket.subprotocol is None
        assert await close_code(socket) == 1002
    assert gateway.told == []


async def test_credentials_count_before_the_version(door: Door) -> None:
    """O2."""
    with pytest.raises(InvalidStatus) as refused:
        await door.open(subprotocols=["ocpp1.5"], password="wrong")
    assert refused.value.response.status_code == 401


# Coming and going.


async def test_the_gateway_is_told_who_comes_and_goes(door: Door, gateway: GatewayInMemory) -> None:
    async with door.open() as socket:
        await heartbeat(socket)
        assert gateway.told == [("connected", "charger-1")]
        assert door.connection().charger.id == "charger-1"
    await _until(lambda: len(gateway.told) > 1)
    assert gateway.told == [("connected", "charger-1"), ("disconnected", "charger-1")]
    assert door.connection() is None


async def test_a_clean_close_is_answered(door: Door) -> None:
    async with door.open() as socket:
        await heartbeat(socket)
        await socket.close(1000)
        assert socket.close_code == 1000
    for payload in (b"", (4000).to_bytes(2) + b"bye"):
        async with raw(door) as charger:
            charger.send(OP_CLOSE, payload)
            assert await charger.close_code() == 1000
            assert await charger.gone() == b""


async def test_a_graceful_stop_closes_all_with_1012_and_takes_nobody(
    door: Door, gateway: GatewayInMemory
) -> None:
    async with door.open() as first, door.open("CP%2F2%20%C3%A4", user="CP/2 ä") as second:
        await heartbeat(first)
        await heartbeat(second)
        port = door.server.port
        await door.server.stop(spread=0.01)
        assert [await close_code(first), await close_code(second)] == [1012, 1012]
    with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the system calls it
        await asyncio.open_connection("127.0.0.1", port)
    assert len(door.server) == 0
    assert sorted(what for what, *_ in gateway.told) == ["connected"] * 2 + ["disconnected"] * 2


async def test_a_graceful_stop_lets_a_start_be_written(
    door: Door, gateway: GatewayInMemory
) -> None:
    gateway.go_on.clear()
    async with door.open() as socket:
        await socket.send(json.dumps([2, "1", "StartTransaction", START]))
        await gateway.reached.wait()
        stopping = asyncio.create_task(door.server.stop())
        assert await close_code(socket) == 1012
    await asyncio.wait([stopping], timeout=0.05)
    assert not stopping.done()
    gateway.go_on.set()
    await stopping
    assert len(gateway.starts) == 1


async def test_a_handler_that_fails_does_not_end_the_connection(
    door: Door, gateway: GatewayInMemory
) -> None:
    async with door.open() as socket:
        gateway.error = RuntimeError("no")
        await socket.send('[2,"7","Authorize",{"idTag":"#2468"}]')
        assert json.loads(await socket.recv())[2] == "InternalError"
        await heartbeat(socket)


# Guards.


async def test_a_frame_of_10_mb_is_1009_and_the_neighbour_does_not_notice(door: Door) -> None:
    """O10."""
    async with door.open("CP%2F2%20%C3%A4", user="CP/2 ä") as neighbour:
        async with raw(door) as charger:
            whole = frame(OP_TEXT, b"x" * 10_000_000)
            charger.writer.write(whole[:14])
            assert await charger.close_code() == 1009
        async with door.open() as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send("x" * 10_000_000)
            await socket.wait_closed()
        await heartbeat(neighbour)


async def test_a_message_of_64_kib_passes_and_one_byte_more_is_1009(door: Door) -> None:
    """O10."""
    head, tail = '[2,"1","Heartbeat",{"a":"', '"}]'
    fill = 64 * 1024 - len(head) - len(tail)
    async with door.open() as socket:
        await socket.send(head + "x" * fill + tail)
        assert json.loads(await socket.recv())[0] == 3
        await socket.send(head + "x" * (fill + 1) + tail)
        assert await close_code(socket) == 1009


async def test_the_size_counts_over_all_fragments(door: Door) -> None:
    """O10."""
    async with raw(door) as charger:
        charger.send(OP_TEXT, b" " * 40_000, fin=False)
        charger.send(OP_CONT, b" " * 25_536, fin=False)
        charger.send(OP_CONT, b"", fin=False)
        charger.send(OP_PING, b"still here")
        assert await charger.receive() == (OP_PONG, b"still here")
        charger.send(OP_CONT, b" ", fin=False)
        assert await charger.close_code() == 1009


async def test_a_fragmented_message_is_put_together(door: Door) -> None:
    async with raw(door) as charger:
        charger.send(OP_TEXT, HEARTBEAT[:5].encode(), fin=False)
        charger.send(OP_PING, b"in between")
        charger.send(OP_CONT, HEARTBEAT[5:9].encode(), fin=False)
        charger.send(OP_CONT, HEARTBEAT[9:].encode())
        assert await charger.receive() == (OP_PONG, b"in between")
        opcode, answer = await charger.receive()
        assert (opcode, json.loads(answer)[:2]) == (OP_TEXT, [3, "1"])


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(OP_BINARY, HEARTBEAT.encode(), True)], 1003),
        ([(OP_BINARY, b"x", False)], 1003),
        ([(OP_CONT, b"x", True)], 1002),
        ([(OP_TEXT, b"x", False), (OP_TEXT, b"x", True)], 1002),
        ([(3, b"x", True)], 1002),
        ([(OP_PING, b"x", False)], 1002),
        ([(OP_TEXT, b'["\xff"]', True)], 1007),
        ([(OP_TEXT, b'["\xc3', False), (OP_CONT, b'("]', True)], 1007),
        ([(OP_TEXT, b"[" * 60_000, True)], 1008),
    ],
)
async def test_what_breaks_the_protocol_is_closed_with_its_code(
    door: Door, frames: list[tuple[int, bytes, bool]], code: int
) -> None:
    """O10."""
    async with door.open("CP%2F2%20%C3%A4", user="CP/2 ä") as neighbour:
        async with raw(door) as charger:
            for opcode, data, fin in frames:
                charger.send(opcode, data, fin=fin)
            assert await charger.close_code() == code
        await heartbeat(neighbour)


async def test_an_extension_nobody_agreed_on_is_1002(door: Door) -> None:
    async with raw(door) as charger:
        charger.send(OP_TEXT, HEARTBEAT.encode(), rsv1=True)
        assert await charger.close_code() == 1002


async def test_utf8_split_between_fragments_is_whole(door: Door) -> None:
    frame = '[2,"ä","Heartbeat",{}]'.encode()
    async with raw(door) as charger:
        charger.send(OP_TEXT, frame[:5], fin=False)
        charger.send(OP_CONT, frame[5:])
        assert json.loads((await charger.receive())[1])[1] == "ä"


async def test_a_dribble_of_fragments_that_answers_pings_is_ended(
    new_door: Callable[..., Awaitable[Door]],
) -> None:
    """O10."""
    door = await new_door(message_timeout=0.2, idle_timeout=0.05, pong_timeout=0.05)
    async with raw(door) as charger:
        charger.send(OP_TEXT, b"[", fin=False)
        closing = asyncio.create_task(charger.close_code())
        while not closing.done():
            charger.send(OP_CONT, b" ", fin=False)
            charger.send(OP_PONG, b"")
            await asyncio.wait([closing], timeout=0.02)
        assert closing.result() == 1008


async def test_a_dribble_of_bytes_within_one_frame_is_ended(
    new_door: Callable[..., Awaitable[Door]],
) -> None:
    """O10."""
    door = await new_door(idle_timeout=0.1, pong_timeout=0.1)
    async with raw(door) as charger:
        whole = frame(OP_TEXT, b" " * 60_000)
        gone = asyncio.create_task(charger.gone())
        sent = 0
        while not gone.done():
            charger.writer.write(whole[sent : sent + 1])
            sent += 1
            await asyncio.wait([gone], timeout=0.01)
        assert sent < len(whole)


@EVERY_VERSION
async def test_too_many_messages_are_1008(
    new_door: Callable[..., Awaitable[Door]], version: str
) -> None:
    """O10."""
    door = await new_door(messages_per_second=0.001, message_burst=5)
    async with door.open(subprotocols=[version]) as socket:
        for _ in range(5):
            await heartbeat(socket)
        await socket.send(HEARTBEAT)
        assert await close_code(socket) == 1008


async def test_a_big_message_counts_as_many(new_door: Callable[..., Awaitable[Door]]) -> None:
    """O10: 500 of 64 KiB held every other charger up for seconds."""
    door = await new_door(messages_per_second=0.001, message_burst=5)
    async with door.open() as socket:
        await heartbeat(socket)
        await socket.send(HEARTBEAT + " " * 4 * 1024)
        assert await close_code(socket) == 1008


async def test_another_connection_brings_no_more_messages(
    new_door: Callable[..., Awaitable[Door]],
) -> None:
    """O10: the rate is the charger's; nobody else's."""
    door = await new_door(messages_per_second=0.001, message_burst=5)
    for _ in range(2):
        async with door.open() as socket:
            await heartbeat(socket)
            await heartbeat(socket)
    async with door.open() as socket:
        await heartbeat(socket)
        await socket.send(HEARTBEAT)
        assert await close_code(socket) == 1008
    async with door.open() as socket:
        await socket.send(HEARTBEAT)
        assert await close_code(socket) == 1008
    async with door.open("CP%2F2%20%C3%A4", user="CP/2 ä") as neighbour:
        await heartbeat(neighbour)


async def test_the_rate_recovers_between_connections(
    new_door: Callable[..., Awaitable[Door]],
) -> None:
    server = (await new_door(messages_per_second=2, message_burst=10)).server
    assert server.unspent("charger-1", 100.0) == 10
    server.keep_unspent("charger-1", 1.0, 100.0)
    assert server.unspent("charger-2", 100.0) == 10
    assert server.unspent("charger-1", 102.0) == 5
    server.keep_unspent("charger-1", -60.0, 200.0)
    assert server.unspent("charger-1", 210.0) == -40
    server.keep_unspent("charger-1", 1.0, 300.0)
    assert server.unspent("charger-1", 400.0) == 10


async def test_a_flood_of_pings_is_1008(new_door: Callable[..., Awaitable[Door]]) -> None:
    """O10."""
    door = await new_door(messages_per_second=0.001, message_burst=5)
    async with raw(door) as charger:
        for _ in range(6):
            charger.send(OP_PING, b"")
        assert await charger.close_code() == 1008


async def test_the_rate_recovers_with_time(new_door: Callable[..., Awaitable[Door]]) -> None:
    door = await new_door(messages_per_second=1e9, message_burst=5)
    async with door.open() as socket:
        for _ in range(50):
            await heartbeat(socket)


@EVERY_VERSION
async def test_a_charger_that_says_nothing_of_its_own_is_1008(
    new_door: Callable[..., Awaitable[Door]], version: str
) -> None:
    """O11."""
    door = await new_door(first_call_timeout=0.1)
    async with door.open(subprotocols=[version]) as socket:
        await socket.send("nonsense")
        assert await close_code(socket) == 1008


async def test_a_call_in_time_is_enough(new_door: Callable[..., Awaitable[Door]]) -> None:
    door = await new_door(first_call_timeout=1.0, idle_timeout=1.2)
    async with raw(door) as charger:
        charger.send(OP_TEXT, HEARTBEAT.encode())
        assert (await charger.receive())[0] == OP_TEXT
        assert (await charger.receive())[0] == OP_PING  # 1.2 s later the connection still lives


async def test_an_idle_charger_is_pinged_and_stays(
    new_door: Callable[..., Awaitable[Door]],
) -> None:
    """O11."""
    door = await new_door(idle_timeout=0.05, pong_timeout=0.5)
    async with raw(door) as charger:
        for _ in range(3):
            opcode, data = await charger.receive()
            assert opcode == OP_PING
            charger.send(OP_PONG, data)
        charger.send(OP_TEXT, HEARTBEAT.encode())
        # On a busy machine it may be pinged once more before it is answered.
        while (opcode := (await charger.receive())[0]) == OP_PING:
            pass
        assert opcode == OP_TEXT


def test_a_charger_that_answers_within_a_tick_of_the_clock_stays() -> None:
    """O11: a loop of uvloop's, as services have it, tells time in milliseconds."""

    async def pinged() -> None:
        gateway = gateway_with_cards()
        server = OcppServer(
            gateway,  # type: ignore[arg-type]
            limits=Limits(idle_timeout=0.02, pong_timeout=0.5, close_timeout=0.2),
        )
        await server.start("127.0.0.1:0")
        async with raw(Door(server, gateway)) as charger:
            for _ in range(4):
                opcode, data = await charger.receive()
                assert opcode == OP_PING
                charger.send(OP_PONG, data)
        await server.stop()

    uvloop.run(pinged())


@EVERY_VERSION
async def test_a_dead_charger_is_disconnected(
    new_door: Callable[..., Awaitable[Door]], gateway: GatewayInMemory, version: str
) -> None:
    """O11."""
    door = await new_door(idle_timeout=0.05, pong_timeout=0.05)
    async with raw(door, subprotocol=version.encode()) as charger:
        await charger.gone()
    assert gateway.told == [("connected", "charger-1"), ("disconnected", "charger-1")]


async def test_a_request_that_never_ends_is_dropped_and_costs_nobody(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
    writer.write(b"GET /ocpp/x HTTP/1.1\r\n" + b"A: b\r\n" * 20_000)
    async with door.open() as neighbour:
        await heartbeat(neighbour)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_charger_that_never_reads_is_dropped(
    new_door: Callable[..., Awaitable[Door]],
) -> None:
    door = await new_door(messages_per_second=1e9, message_burst=1e9)
    async with raw(door) as charger:
        flood = frame(OP_TEXT, HEARTBEAT.encode()) * 2000
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                while not charger.writer.transport.is_closing():
                    charger.writer.write(flood)
                    await charger.writer.drain()
        await _until(lambda: len(door.server) == 0)


# Two with one identity.


@EVERY_VERSION
async def test_a_living_charger_is_not_displaced(
    door: Door, gateway: GatewayInMemory, version: str
) -> None:
    """O9: nor by one of another version."""
    async with door.open(subprotocols=[version]) as first:
        await heartbeat(first)
        async with door.open() as second:
            assert await close_code(second) == 1008
        await heartbeat(first)
    assert [(each.charger_id, each.kind, each.seen_by) for each in gateway.events] == [
        ("charger-1", "identity_already_connected", "GATEWAY")
    ]
    await _until(lambda: len(gateway.told) > 1)
    assert gateway.told == [("connected", "charger-1"), ("disconnected", "charger-1")]


async def test_a_dead_charger_is_replaced_and_nothing_sent_meanwhile_is_lost(
    new_door: Callable[..., Awaitable[Door]], gateway: GatewayInMemory
) -> None:
    """O9."""
    door = await new_door(displacement_timeout=0.1)
    async with raw(door) as dead, door.open() as alive:
        await heartbeat(alive)  # sent before the first was found dead, answered after
        assert await dead.gone()  # the ping it never answered
        assert gateway.told == [
            ("connected", "charger-1"),
            ("disconnected", "charger-1"),
            ("connected", "charger-1"),
        ]
        assert len(door.server) == 1


async def test_what_comes_with_the_handshake_is_not_lost_either(
    new_door: Callable[..., Awaitable[Door]],
) -> None:
    door = await new_door(displacement_timeout=0.1)
    at_once = frame(OP_TEXT, HEARTBEAT.encode())
    async with raw(door), raw(door, at_once=at_once) as alive:
        assert json.loads((await alive.receive())[1])[:2] == [3, "1"]


async def test_a_charger_that_hangs_up_while_it_is_asked_is_replaced_at_once(door: Door) -> None:
    async with raw(door) as first, door.open() as second:
        assert await first.receive() == (OP_PING, b"")
        first.writer.close()
        await heartbeat(second)


async def test_only_one_newcomer_waits(new_door: Callable[..., Awaitable[Door]]) -> None:
    """O9."""
    door = await new_door(displacement_timeout=1.0)
    async with raw(door), door.open() as second, door.open() as third:
        assert await close_code(third) == 1008
        await heartbeat(second)


class Tcp:
    """A transport that is told nothing and tells nothing."""

    underlying_transport = property(lambda self: self)
    request = response = SimpleNamespace(headers={})
    is_disconnected = False
    close_handshake = None

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args, **_options: None


async def test_a_newcomer_gets_the_place_of_who_is_disconnected_by_hand(
    door: Door, gateway: GatewayInMemory
) -> None:
    """O9: of one that would have answered, and before it does."""
    with pytest.raises(ChargerOfflineError):
        await door.server.disconnect("charger-1")
    async with raw(door) as first:
        first.send(OP_TEXT, HEARTBEAT.encode())
        assert (await first.receive())[0] == OP_TEXT
        async with door.open() as newcomer:
            assert (await first.receive())[0] == OP_PING
            await door.server.disconnect("charger-1")
            await heartbeat(newcomer)
            assert await first.close_code() == 1012
    assert [each.kind for each in gateway.events] == ["disconnected_by_hand"]


async def test_a_newcomer_by_a_password_that_is_replaced_meanwhile_gets_no_place(
    door: Door, gateway: GatewayInMemory
) -> None:
    """O9, O49: the place is free, and not for a moment his."""
    charger = gateway.chargers["CP/1 ä"]
    charger.password_hash = "before"
    async with raw(door) as first:
        first.send(OP_TEXT, HEARTBEAT.encode())
        assert (await first.receive())[0] == OP_TEXT
        async with door.open() as newcomer:
            assert (await first.receive())[0] == OP_PING
            charger.password_hash = "after"
            door.server.passwords_changed()
            assert [await first.close_code(), await close_code(newcomer)] == [1008, 1008]
    assert gateway.told == [("connected", "charger-1"), ("disconnected", "charger-1")]


async def test_a_newcomer_that_gave_up_gets_no_place(door: Door, gateway: GatewayInMemory) -> None:
    """Not noticed on a plain socket, which nobody reads from while it waits."""
    charger = gateway.chargers["CP/1 ä"]
    first, second = (
        ChargerSocket(door.server, charger, OCPP16, password_hash=None) for _ in range(2)
    )
    first.on_ws_connected(Tcp())
    second.on_ws_connected(Tcp())
    second.on_ws_disconnected(Tcp())
    first.on_ws_disconnected(Tcp())
    assert gateway.told == [("connected", "charger-1"), ("disconnected", "charger-1")]
    assert door.connection() is None


async def test_a_stop_while_one_waits_closes_both(door: Door, gateway: GatewayInMemory) -> None:
    async with raw(door) as first, door.open() as second:
        assert (await first.receive())[0] == OP_PING
        stopping = asyncio.create_task(door.server.stop())
        assert [await first.close_code(), await close_code(second)] == [1012, 1012]
        await stopping
    assert gateway.told == [("connected", "charger-1"), ("disconnected", "charger-1")]


async def test_who_is_not_authenticated_displaces_nobody(
    new_door: Callable[..., Awaitable[Door]], gateway: GatewayInMemory
) -> None:
    """O9."""
    door = await new_door(displacement_timeout=0.01)
    async with raw(door) as silent:
        for _ in range(3):
            with pytest.raises(InvalidStatus):
                await door.open(password="wrong")
        silent.send(OP_TEXT, HEARTBEAT.encode())
        assert (await silent.receive())[0] == OP_TEXT  # no ping came first
    assert gateway.told[0] == ("connected", "charger-1")


@pytest.mark.parametrize(
    ("version", "tap"),
    [
        ("ocpp1.6", '{"idTag":"#2468"'),
        ("ocpp2.0.1", '{"idToken":{"idToken":"2468","type":"KeyCode"}'),
        ("ocpp2.1", '{"idToken":{"idToken":"2468","type":"KeyCode"}'),
    ],
)
async def test_no_code_and_no_password_gets_into_a_log(
    door: Door, caplog: pytest.LogCaptureFixture, version: str, tap: str
) -> None:
    """R17, O36, also for what the WebSocket library would log by itself."""
    caplog.set_level(1)
    with capture_logs() as logs:
        async with websockets_silent(door, version) as socket:
            await socket.send(f'[2,"7","Authorize",{tap}}}]')
            assert '"Accepted"' in str(await socket.recv())
            await socket.send(f'[2,"8","Authorize",{tap},"a":}}]')
            assert json.loads(await socket.recv())[0] == 4
    password = base64.b64encode("CP/1 ä:a long enough password".encode()).decode()
    assert password not in caplog.text
    assert "2468" not in caplog.text
    assert "2468" not in str(logs)


def websockets_silent(door: Door, version: str) -> connect:
    """The client's own log would hold what the test sends."""
    silent = logging.getLogger("silent client")
    silent.disabled = True
    return door.open(logger=silent, subprotocols=[version])


async def _until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the server has noticed."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
