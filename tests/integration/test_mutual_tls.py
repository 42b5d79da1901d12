"""A system whose processes speak with each other, and with NATS, by TLS alone."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from chargekey.gateway.v1 import gateway_pb2
from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.nats_server import NatsServer
from chargekey_common.testing.authority import BOTH, Authority
from chargekey_stack import tls
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import HOST, Ports
from chargekey_stack.programs import Addresses, Program, programs
from chargekey_stack.readiness import wait_until_ready
from chargekey_stack.system import System

from .garage import authorize, create_garage, eventually
from .test_tls import ending_well

PIN = "#8642"
NAME = "localhost"
SERVICES = ("access", "identity", "gateway")
ACCEPTED = gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED


class Inside:
    """The files of each process, signed by one authority."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory, "ours")
        self.nats = self.sign("nats")
        for each in (*SERVICES, "command"):
            self.sign(each)

    def sign(self, process: str) -> tuple[Path, Path]:
        return self.authority.sign(process, san=NAME, usages=BOTH)

    def environment(self, process: str, prefix: str) -> dict[str, str]:
        at = self.authority.directory / process
        return {
            f"{prefix}TLS_CERTIFICATE_FILE": f"{at}.pem",
            f"{prefix}TLS_KEY_FILE": f"{at}.key",
            f"{prefix}TLS_CA_FILE": str(self.authority.file),
            f"{prefix}NATS_CA_FILE": str(self.authority.file),
        }

    def program(self, program: Program) -> Program:
        own = self.environment(program.name, f"CHARGEKEY_{program.name.upper()}_")
        # Asked by its `/readyz` alone: who asks in the clear by gRPC is not answered.
        return msgspec.structs.replace(
            program, environment={**program.environment, **own}, grpc=None
        )

    async def shown(self, address: str) -> int:
        """Return the serial number of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=self.authority.file)
        at = self.authority.directory / "command"
        context.load_cert_chain(f"{at}.pem", f"{at}.key")
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        certificate = writer.get_extra_info("peercert")
        writer.transport.abort()
        return int(certificate["serialNumber"], 16)


@asynccontextmanager
async def running(directory: Path, inside: Inside) -> AsyncIterator[System]:
    data = DataDirectory(directory / "data")
    nats = NatsServer(directory / "nats", token=secrets.token_hex(16), sync="2m", tls=inside.nats)
    nats.start()
    async with AsyncExitStack() as stack:
        stack.callback(nats.stop)
        ports = stack.enter_context(closing(Ports()))
        stack.enter_context(data.locked())
        data.token("nats_token").write_text(nats.token)
        data.account(ADMINISTRATOR)
        reserved = Addresses.reserve(ports)
        grpc = {name: each.replace(HOST, NAME) for name, each in reserved.grpc.items()}
        addresses = msgspec.structs.replace(reserved, grpc=grpc)
        url = nats.url.replace(HOST, NAME)
        started = [
            inside.program(each) for each in programs(data, addresses, url) if each.name in SERVICES
        ]
        for each in started:
            await stack.enter_async_context(ending_well(each))
        async with asyncio.timeout(60):
            for each in started:
                await wait_until_ready(each)
        system = System(
            ocpp=addresses.ocpp_url,
            portal="",
            administrator="",
            partners="",
            nats=url,
            grpc=grpc,
            data=str(data.path),
        )
        stack.enter_context(data.announced(msgspec.json.encode(system)))
        yield system


async def command(data: str, *words: str) -> tuple[int, bytes]:
    """Run a command of the `chargekey` program in this environment."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "chargekey_stack", *words, "--json", "--data", data),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said


async def let_in(client: Client) -> None:
    garage = await create_garage(client, PIN)
    assert (await authorize(client, PIN, *garage.positions)).status == ACCEPTED


async def test_services_work_by_tls_alone_and_their_certificates_are_renewed_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = Inside(tmp_path)
    async with running(tmp_path, inside) as system:
        data = DataDirectory(Path(system.data))
        # In the clear nobody is answered, also to what is open to everybody.
        for address in (system.grpc[each] for each in SERVICES):
            async with aio.insecure_channel(address) as plain:
                with pytest.raises(aio.AioRpcError):
                    await HealthStub(plain).Check(HealthCheckRequest())  # type: ignore[attr-defined] # untyped there

        status, said = await command(system.data, "installation", "list")
        assert (status, b'"unavailable"' in said) == (1, True), said
        for name, value in inside.environment("command", "CHARGEKEY_").items():
            monkeypatch.setenv(name, value)
        async with connected(data) as client:
            await let_in(client)
        status, said = await command(system.data, "installation", "list")
        assert (status, b'"Home"' in said) == (0, True), said
        status, said = await command(system.data, "events", "--stream", "access")
        assert (status, b"InstallationCreated" in said) == (0, True), said

        shown = {each: await inside.shown(system.grpc[each]) for each in SERVICES}
        for each in SERVICES:
            inside.sign(each)
        for each, before in shown.items():
            where = system.grpc[each]
            assert await eventually(
                lambda where=where: inside.shown(where), lambda now, was=before: now != was
            )
        async with connected(data) as client:
            # Through a new connection of each to each other.
            assert (await authorize(client, PIN)).status == ACCEPTED

        monkeypatch.delenv(tls.CA)
        status, said = await command(system.data, "installation", "list")
        assert (status, b'"tls_unusable"' in said) == (1, True), said
        assert os.environ[tls.KEY] not in said.decode()
