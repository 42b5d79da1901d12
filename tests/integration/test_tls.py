"""A gateway as a process of its own that speaks TLS, and chargers that are let in by it."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import ssl
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from ocpp.v16 import ChargePoint, call
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.headers import build_authorization_basic

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.testing.authority import Authority
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import HOST, Ports
from chargekey_stack.programs import Addresses, Program, programs
from chargekey_stack.readiness import wait_until_ready
from chargekey_stack.system import System

from .garage import CHARGER, Garage, authorize, create_garage, eventually

PIN, ANOTHERS = "#2468", "#1357"
BY_CERTIFICATE = "CP-3"
SERVERS = (ExtendedKeyUsageOID.SERVER_AUTH,)

_SILENT = logging.getLogger("tls-charger")
_SILENT.disabled = True


class Wires:
    """The gateway's ports, and the authorities behind its certificates and its chargers'."""

    def __init__(self, directory: Path, plain: str, tls: str) -> None:
        self.directory = directory
        self.plain = plain
        self.tls = tls
        self.ours = Authority(directory, "ours")
        self.theirs = Authority(directory, "theirs")
        self.certificate, self.key = self.ours.sign("gateway", san="localhost", usages=SERVERS)

    @property
    def settings(self) -> dict[str, str]:
        """What the process is told: no charger without TLS, one by password, one by certificate."""
        return {
            "CHARGEKEY_GATEWAY_SECURITY_PROFILES": "2,3",
            "CHARGEKEY_GATEWAY_OCPP_TLS_ADDRESS": self.tls,
            "CHARGEKEY_GATEWAY_OCPP_TLS_CERTIFICATE_FILE": str(self.certificate),
            "CHARGEKEY_GATEWAY_OCPP_TLS_KEY_FILE": str(self.key),
            "CHARGEKEY_GATEWAY_OCPP_CLIENT_CA_FILE": str(self.theirs.file),
            "CHARGEKEY_GATEWAY_OCPP_CLIENT_ORGANISATION": "Charge Ltd",
        }

    def client_certificate(self, authority: Authority | None = None) -> tuple[Path, Path]:
        return (authority or self.theirs).sign(
            BY_CERTIFICATE, BY_CERTIFICATE, organisation=("Charge Ltd",)
        )

    @asynccontextmanager
    async def charger(
        self,
        identity: str,
        *,
        password: str | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> AsyncIterator[ChargePoint]:
        """Connect as a charger of profile 2 or 3 does."""
        context = ssl.create_default_context(cafile=self.ours.file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        headers = {}
        if password is not None:
            headers["Authorization"] = build_authorization_basic(identity, password)
        async with connect(
            f"wss://{self.tls}/ocpp/{identity}",
            subprotocols=["ocpp1.6"],  # type: ignore[list-item] # a NewType of str
            additional_headers=headers,
            ssl=context,
            server_hostname="localhost",
            proxy=None,
        ) as socket:
            charger = ChargePoint(identity, socket, logger=_SILENT)
            reading = asyncio.create_task(charger.start())
            try:
                yield charger
            finally:
                await cancel(reading)

    async def shown(self) -> int:
        """Return the serial number of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=self.ours.file)
        host, _, port = self.tls.rpartition(":")
        _, writer = await asyncio.open_connection(
            host, int(port), ssl=context, server_hostname="localhost"
        )
        certificate = writer.get_extra_info("peercert")
        writer.close()
        return int(certificate["serialNumber"], 16)

    def replace_all(self) -> tuple[Path, Path]:
        """Put new files in the place of the old ones; return a client's of the new authority."""
        anew = Authority(self.directory / "anew", "theirs")
        anew.file.replace(self.theirs.file)
        # Last: whoever is shown it knows that everything else is new as well.
        self.ours.sign("gateway", san="localhost", usages=SERVERS)
        return self.client_certificate(anew)


@asynccontextmanager
async def running(
    nats_server: NatsServer, wires_in: Path
) -> AsyncIterator[tuple[Client, Wires, Process]]:
    """Run access, identity and the gateway, which end well after the block."""
    data = DataDirectory(wires_in / "data")
    (wires_in / "anew").mkdir()
    with closing(Ports()) as ports, data.locked():
        data.token("nats_token").write_text(nats_server.token)
        data.account(ADMINISTRATOR)
        addresses = Addresses.reserve(ports)
        wires = Wires(wires_in, addresses.ocpp, f"{HOST}:{ports.reserve(0)}")
        ours = {each.name: each for each in programs(data, addresses, nats_server.url)}
        gateway = ours["gateway"]
        started = msgspec.structs.replace(
            gateway, environment={**gateway.environment, **wires.settings}
        )
        system = System(
            ocpp=addresses.ocpp_url,
            portal="",
            administrator="",
            partners="",
            nats=nats_server.url,
            grpc=dict(addresses.grpc),
            data=str(data.path),
        )
        async with AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(ending_well(each))
                for each in (ours["access"], ours["identity"], started)
            ]
            async with asyncio.timeout(60):
                for each in (ours["access"], ours["identity"], started):
                    await wait_until_ready(each)
            stack.enter_context(data.announced(msgspec.json.encode(system)))
            yield await stack.enter_async_context(connected(data)), wires, processes[-1]


@asynccontextmanager
async def ending_well(program: Program) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*program.command, env=program.environment)
    try:
        yield process
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            status = await process.wait()
    assert status == 0


async def let_another_in(client: Client, garage: Garage) -> Sequence[str]:
    """Add a charger with a certificate, and whoever charges there; return the positions."""
    charger = await client.chargers.AddCharger(
        chargers_pb2.AddChargerRequest(
            installation_id=garage.installation_id, ocpp_identity=BY_CERTIFICATE
        )
    )
    user = await client.add_local_user(
        users_pb2.AddLocalUserRequest(
            installation_id=garage.installation_id, first_name="Kari", last_name="Nordmann"
        )
    )
    pin = await client.identifications.AddIdentification(
        identifications_pb2.AddIdentificationRequest(
            user_id=user.user_id, type=identifications_pb2.IDENTIFICATION_TYPE_PIN, code=ANOTHERS
        )
    )
    return charger.position, user.access_position, pin.position


async def started(charger: ChargePoint, pin: str) -> int:
    """Boot and begin to charge; return the transaction."""
    boot = call.BootNotification(charge_point_vendor="Somebody", charge_point_model="Some")
    assert (await charger.call(boot)).status == "Accepted"
    answer = await charger.call(
        call.StartTransaction(connector_id=1, id_tag=pin, meter_start=0, timestamp=now())
    )
    assert answer.id_tag_info["status"] == "Accepted"
    return int(answer.transaction_id)


async def stopped(charger: ChargePoint, transaction_id: int) -> None:
    stop = call.StopTransaction(meter_stop=10, timestamp=now(), transaction_id=transaction_id)
    await charger.call(stop)


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


async def test_by_password_and_by_certificate_they_charge_and_new_files_count_without_a_restart(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    """O12, O13, O14, O15, O16."""
    async with running(nats_server, tmp_path) as (client, wires, gateway):
        garage = await create_garage(client, PIN)
        positions = await let_another_in(client, garage)
        decided = await authorize(client, PIN, *garage.positions, *positions)
        assert decided.status == gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED

        old = wires.client_certificate()
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection(*wires.plain.split(":"))
        with pytest.raises(InvalidStatus, match="401"):
            async with wires.charger(CHARGER):
                pass
        with pytest.raises(InvalidStatus, match="401"):
            async with wires.charger(CHARGER, password=garage.password, certificate=old):
                pass
        async with (
            wires.charger(CHARGER, password=garage.password) as by_password,
            wires.charger(BY_CERTIFICATE, certificate=old) as by_certificate,
        ):
            transactions = await started(by_password, PIN), await started(by_certificate, ANOTHERS)

            before = await wires.shown()
            new = wires.replace_all()
            await eventually(wires.shown, lambda serial: serial != before)
            # Who is connected stays, and what charges goes on.
            await stopped(by_password, transactions[0])
            await stopped(by_certificate, transactions[1])

        with pytest.raises((OSError, InvalidHandshake, EOFError, ConnectionClosed)):
            async with wires.charger(BY_CERTIFICATE, certificate=old):
                pass
        async with wires.charger(BY_CERTIFICATE, certificate=new) as again:
            await stopped(again, await started(again, ANOTHERS))
        assert gateway.returncode is None
