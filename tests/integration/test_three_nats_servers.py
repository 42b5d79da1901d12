"""As in production: three NATS servers, every stream on all of them, and one that is lost."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import nkeys
import pytest
from grpc import aio
from nats.js import JetStreamContext

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.access.v1.chargers_pb2_grpc import ChargerServiceStub
from chargekey.access.v1.installations_pb2_grpc import InstallationServiceStub
from chargekey.gateway.v1 import gateway_pb2
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey_common import jetstream
from chargekey_common.accounts import ADMINISTRATOR, Signer
from chargekey_common.grpc.client import channel, remote_error
from chargekey_common.nats_server import NatsServer
from chargekey_stack.children import ProgramChild
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, Program, programs

SERVERS = 3
OURS = ("access", "identity", "gateway", "notifier")
PATIENCE = 60.0


def free_ports(count: int) -> list[int]:
    """Servers are told of each other's before they begin, and share theirs with nobody."""
    with contextlib.ExitStack() as held:
        reserved = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in reserved:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in reserved]


@pytest.fixture
def servers(tmp_path: Path, data: DataDirectory) -> Iterator[Sequence[NatsServer]]:
    token = secrets.token_hex(16)
    data.token("nats_token").write_text(token)
    issuer = nkeys.from_seed(data.nats_issuer().read_bytes()).public_key.decode()
    routes = free_ports(SERVERS)
    cluster = [
        NatsServer(
            tmp_path / f"nats-{place}",
            token=token,
            issuer=issuer,
            sync="2m",
            routes=routes,
            place=place,
        )
        for place in range(SERVERS)
    ]
    try:
        for each in cluster:
            each.launch()
        for each in cluster:
            each.wait_until_serving()
        yield cluster
    finally:
        for each in cluster:
            each.stop()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDirectory]:
    directory = DataDirectory(tmp_path / "data")
    with directory.locked():
        yield directory


def in_production(program: Program) -> Program:
    """The program, with its streams on every server."""
    copies = {f"CHARGEKEY_{program.name.upper()}_STREAM_REPLICAS": str(SERVERS)}
    return msgspec.structs.replace(program, environment={**program.environment, **copies})


async def copies(js: JetStreamContext) -> dict[str, int]:
    """Return of each stream how many up-to-date copies there are."""
    found = {}
    for each in await js.streams_info():
        assert each.cluster is not None
        others = [peer for peer in each.cluster.replicas or () if peer.current]
        found[str(each.config.name)] = 1 + len(others)
    return found


async def told(
    gateway: GatewayServiceStub, asked: gateway_pb2.AuthorizeRequest
) -> gateway_pb2.AuthorizeResponse:
    """What the gateway answers once it has heard, for which another server has to lead first."""
    while True:
        try:
            return await gateway.Authorize(asked)
        except aio.AioRpcError as error:
            if remote_error(error).code != "view_behind":
                raise


async def test_every_stream_is_on_all_servers_and_one_of_them_may_be_lost(
    data: DataDirectory, servers: Sequence[NatsServer]
) -> None:
    with contextlib.closing(Ports()) as ports:
        addresses = Addresses.reserve(ports)
        ours = [
            ProgramChild(in_production(each), data.log(each.name))
            for each in programs(data, addresses, servers[0].url)
            if each.name in OURS
        ]
        signer = Signer.from_file(data.account(ADMINISTRATOR))
        async with contextlib.AsyncExitStack() as running, asyncio.timeout(PATIENCE):
            for child in ours:
                await child.start()
                running.push_async_callback(child.stop, 15.0)
            for child in ours:
                await child.ready()
            client = await jetstream.connect(servers[0].bus, "test")
            running.push_async_callback(jetstream.close, client)
            js = client.jetstream()
            while set((await copies(js)).values()) != {SERVERS}:
                await asyncio.sleep(0.05)  # bounded by the timeout above
            assert {"ACCESS", "IDENTITY", "ERASURES", "SESSIONS", "CHARGERS"} <= set(
                await copies(js)
            )

            # Whoever is connected there has heard of the other two.
            await asyncio.to_thread(servers[0].kill)
            access = await running.enter_async_context(channel(addresses.grpc["access"], signer))
            gateway = await running.enter_async_context(channel(addresses.grpc["gateway"], signer))
            created = await InstallationServiceStub(access).CreateInstallation(
                installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo")
            )
            charger = await ChargerServiceStub(access).AddCharger(
                chargers_pb2.AddChargerRequest(
                    installation_id=created.installation_id, ocpp_identity="CP-1"
                )
            )
            asked = gateway_pb2.AuthorizeRequest(
                ocpp_identity="CP-1", code="04A1B2C3", at_least=[charger.position]
            )
            answer = await told(GatewayServiceStub(gateway), asked)
            assert answer.reason == "identification_unknown"
