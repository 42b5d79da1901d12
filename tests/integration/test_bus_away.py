"""NATS is down when services start: they are alive, not ready, and wait quietly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from chargekey_common.nats_server import NatsServer
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, Program, programs
from chargekey_stack.readiness import wait_until_ready


@pytest.fixture
def services(nats_server: NatsServer, tmp_path: Path) -> Iterator[dict[str, Program]]:
    ports, data = Ports(), DataDirectory(tmp_path / "data")
    with data.locked():
        data.token("nats_token").write_text(nats_server.token)
        addresses = Addresses.reserve(ports, ocpp_port=0)
        yield {each.name: each for each in programs(data, addresses, nats_server.url)}
    ports.close()


async def answer(program: Program, path: str) -> bytes:
    """Return the status of a health request, once the program answers any."""
    host, _, port = (program.health or "").rpartition(":")
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        return line.split(b" ")[1]


@pytest.mark.parametrize("name", ["access", "identity"])
async def test_a_service_without_the_bus_is_alive_and_gets_ready_when_it_comes(
    nats_server: NatsServer, services: dict[str, Program], name: str
) -> None:
    nats_server.stop()
    program = services[name]
    process = await asyncio.create_subprocess_exec(*program.command, env=program.environment)
    try:
        async with asyncio.timeout(30):
            assert await answer(program, "/healthz") == b"200"
            assert await answer(program, "/readyz") == b"503"
            nats_server.start()
            await wait_until_ready(program)
    finally:
        process.terminate()
        status = await process.wait()
    assert status == 0
