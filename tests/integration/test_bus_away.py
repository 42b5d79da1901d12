"""NATS is down when services start: they are alive, not ready, and wait quietly."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey_common.nats_server import NatsServer
from chargekey_common.positions import Position
from chargekey_common.published.access import InstallationCreated
from chargekey_common.published.envelope import Attributes, headers
from chargekey_common.relay import END, GENERATION
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, Program, programs
from chargekey_stack.readiness import wait_until_ready

# In the order they are told to end.
SERVICES = ("access", "identity", "gateway", "history", "notifier")
# Seconds for services to start, all at once, and for what is seen of them then.
STARTING = 90.0


@pytest.fixture
def services(nats_server: NatsServer, tmp_path: Path) -> Iterator[dict[str, Program]]:
    ports, data = Ports(), DataDirectory(tmp_path / "data")
    with data.locked():
        data.token("nats_token").write_text(nats_server.token)
        addresses = Addresses.reserve(ports)
        yield {each.name: each for each in programs(data, addresses, nats_server.url)}
    ports.close()


async def answer(program: Program, path: str) -> bytes:
    """Return the status of a health request, once the program answers any."""
    host, _, port = (program.health or "").rpartition(":")
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            with contextlib.closing(writer):
                writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
                line = await reader.readline()
            if line:  # else it took the connection, and left it
                return line.split(b" ")[1]
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", ["access", "identity"])
async def test_a_service_without_the_bus_is_alive_and_gets_ready_when_it_comes(
    nats_server: NatsServer, services: dict[str, Program], name: str
) -> None:
    nats_server.stop()
    program = services[name]
    process = await asyncio.create_subprocess_exec(*program.command, env=program.environment)
    try:
        async with asyncio.timeout(STARTING):
            assert await answer(program, "/healthz") == b"200"
            assert await answer(program, "/readyz") == b"503"
            nats_server.start()
            await wait_until_ready(program)
    finally:
        process.terminate()
        status = await process.wait()
    assert status == 0


@asynccontextmanager
async def all_of(services: dict[str, Program]) -> AsyncIterator[list[Process]]:
    """Run every service of the bus; after the block each has ended well, told so one by one."""
    processes = []
    try:
        for name in SERVICES:
            program = services[name]
            processes.append(
                await asyncio.create_subprocess_exec(*program.command, env=program.environment)
            )
        yield processes
    finally:
        statuses = []
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(20):
                statuses.append(await process.wait())
    assert statuses == [0] * len(SERVICES)


async def test_every_service_ends_well_while_it_waits_for_the_bus(
    nats_server: NatsServer, services: dict[str, Program]
) -> None:
    nats_server.stop()
    async with all_of(services), asyncio.timeout(STARTING):
        for name in SERVICES:
            assert await answer(services[name], "/healthz") == b"200"
            assert await answer(services[name], "/readyz") == b"503"


async def test_every_service_stays_ready_and_ends_well_when_bus_and_access_have_gone(
    nats_server: NatsServer, services: dict[str, Program]
) -> None:
    """What they hold and know they still serve; access, the first to end, answers no checks."""
    async with all_of(services) as processes, asyncio.timeout(STARTING):
        for name in SERVICES:
            await wait_until_ready(services[name])
        nats_server.stop()
        processes[0].terminate()
        assert await processes[0].wait() == 0
        for name in SERVICES[1:]:
            assert await answer(services[name], "/healthz") == b"200"
            assert await answer(services[name], "/readyz") == b"200"


async def test_a_service_whose_bus_goes_before_it_has_found_its_streams_goes_on(
    nats_server: NatsServer, services: dict[str, Program]
) -> None:
    """Access reacts to identity's stream, which is not there yet."""
    program = services["access"]
    process = await asyncio.create_subprocess_exec(
        *program.command, env=program.environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(STARTING):
            await until_said(process.stderr, b"reactions_wait")
            nats_server.stop()
            # It has noticed that nobody answers, and begins anew.
            await until_said(process.stderr, b"reactions_wait")
            for _ in range(40):
                assert await answer(program, "/healthz") == b"200"
                await asyncio.sleep(0.02)
            nats_server.start()
            await until_said(process.stderr, b"nats_reconnected")
            assert await answer(program, "/readyz") == b"200"
    finally:
        process.terminate()
        _, rest = await process.communicate()
    assert process.returncode == 0
    # One line a wait: the restart made one more at the most.
    assert rest.count(b"reactions_wait") <= 1


async def until_said(lines: asyncio.StreamReader, word: bytes) -> None:
    while word not in await lines.readline():
        pass  # the caller bounds it


async def test_a_gateway_lets_nobody_in_before_a_refilled_stream_is_full(
    nats_client: Client, services: dict[str, Program]
) -> None:
    """Else it would refuse everybody, as unknown, who is not in the stream again yet."""
    js = nats_client.jetstream()
    for service, end in (("access", "2"), ("identity", "0")):
        config = StreamConfig(
            name=service.upper(),
            subjects=[f"{service}.v1.>"],
            metadata={GENERATION: "0123456789abcdef", END: end},
        )
        await js.add_stream(config)
    process = await asyncio.create_subprocess_exec(
        *services["gateway"].command, env=services["gateway"].environment
    )
    try:
        async with asyncio.timeout(STARTING):
            await publish(nats_client, 1)
            # Its own streams come last; a moment later it has read all to their ends.
            while len(await js.streams_info()) < len(
                ("ACCESS", "IDENTITY", "SESSIONS", "CHARGERS")
            ):
                await asyncio.sleep(0.02)
            for _ in range(40):
                assert await answer(services["gateway"], "/readyz") == b"503"
                await asyncio.sleep(0.02)
            await publish(nats_client, 2)
            await wait_until_ready(services["gateway"])
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode == 0


async def publish(client: Client, number: int) -> None:
    """Publish an event as a relay does, at this position."""
    event = InstallationCreated(
        installation_id=f"site-{number}", name="", time_zone="UTC", authorisation_required=True
    )
    about = Attributes(
        id=f"event-{number}",
        at=0,
        cause="",
        actor="",
        position=Position("access", "0123456789abcdef", number),
    )
    headers_ = headers(event, about, source="access")
    await client.jetstream().publish(event.subject, msgspec.json.encode(event), headers=headers_)
