"""A connection to NATS: what its ends leave in the log."""

from __future__ import annotations

import asyncio

import structlog
from structlog.testing import capture_logs

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer


def _warnings(logs: list[structlog.typing.EventDict]) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] == "warning"]


async def test_closing_a_connection_is_no_reason_to_warn(nats_server: NatsServer) -> None:
    with capture_logs() as logs:
        client = await jetstream.connect(nats_server.bus, "test")
        await jetstream.close(client)
    assert client.is_closed
    assert _warnings(logs) == []


async def test_losing_a_connection_is_one_and_closing_it_then_is_no_second(
    nats_server: NatsServer,
) -> None:
    with capture_logs() as logs:
        client = await jetstream.connect(nats_server.bus, "test")
        await asyncio.to_thread(nats_server.stop)
        async with asyncio.timeout(20):
            while not _warnings(logs):
                await asyncio.sleep(0.01)
        await jetstream.close(client)
    assert _warnings(logs) == ["nats_disconnected"]


async def test_a_connection_that_is_given_up_while_it_is_made_leaves_no_socket() -> None:
    accepted, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        bus = jetstream.Bus(f"nats://127.0.0.1:{port}")
        connecting = asyncio.create_task(jetstream.connect(bus, "test"))
        await accepted.wait()
        connecting.cancel()
        await asyncio.wait({connecting})
        assert connecting.cancelled()
        await ended.wait()
