"""Two whole gateways of one system: they meet in NATS alone, and decide as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import commands_pb2, gateway_pb2
from chargekey.gateway.v1.commands_pb2_grpc import ChargerCommandServiceStub
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey.identity.v1 import identifications_pb2
from chargekey_common.accounts import Signer
from chargekey_common.grpc.client import channel
from chargekey_stack.children import ProgramChild
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, programs
from chargekey_stack.simulator import SimulatedCharger, simulated_charger
from chargekey_stack.supervisor import running
from chargekey_stack.system import System
from chargekey_stack.words import VERDICTS

from .garage import CHARGER, Garage, create_garage, eventually
from .outages import PATIENCE, insist

PIN, WRONG, CARD = "#2468", "#9999", "04A1B2C3D4E5F6"
OTHER = "CP-2"
MOST_WRONG = 5  # within ten minutes, at a charger
RACES = 3


class Replica:
    """A gateway as its chargers and its callers reach it."""

    def __init__(self, ocpp: str, grpc: str, data: DataDirectory) -> None:
        self.ocpp = ocpp
        self.channel = channel(grpc, Signer.from_file(data.administrator_key))
        self.gateway = GatewayServiceStub(self.channel)
        self.commands = ChargerCommandServiceStub(self.channel)

    async def knows(self, positions: Sequence[str]) -> None:
        """Return once its view includes these."""
        asked = gateway_pb2.AuthorizeRequest(ocpp_identity=CHARGER, code=PIN, at_least=positions)
        async with asyncio.timeout(PATIENCE):
            await insist(self.gateway.Authorize, asked)

    async def says(self, code: str) -> str:
        """Return why the charger would be told what, and leave no trace."""
        asked = gateway_pb2.AuthorizeRequest(ocpp_identity=CHARGER, code=code)
        return (await self.gateway.Authorize(asked)).reason


@asynccontextmanager
async def another_gateway(data: DataDirectory, system: System) -> AsyncIterator[Replica]:
    """Run one beside the system's, with nothing of its own but a directory and its addresses."""
    with contextlib.closing(Ports()) as ports:
        reserved = Addresses.reserve(ports)
        grpc = reserved.grpc["gateway"]
        addresses = msgspec.structs.replace(reserved, grpc={**system.grpc, "gateway": grpc})
        [program] = [
            each for each in programs(data, addresses, system.nats) if each.name == "gateway"
        ]
        environment = {**program.environment, "CHARGEKEY_GATEWAY_DATA": str(data.service("other"))}
        child = ProgramChild(
            msgspec.structs.replace(program, environment=environment), data.log("other")
        )
        await child.start()
        replica = Replica(addresses.ocpp_url, grpc, data)
        try:
            async with asyncio.timeout(PATIENCE):
                await child.ready()
            yield replica
        finally:
            await replica.channel.close()
            await child.stop(PATIENCE)


async def add_charger_and_card(client: Client, garage: Garage) -> tuple[str, str, Sequence[str]]:
    """Return the second charger's id and password, and from where all is visible."""
    charger = await client.chargers.AddCharger(
        chargers_pb2.AddChargerRequest(installation_id=garage.installation_id, ocpp_identity=OTHER)
    )
    card = await client.identifications.AddIdentification(
        identifications_pb2.AddIdentificationRequest(
            user_id=garage.user_id,
            type=identifications_pb2.IDENTIFICATION_TYPE_RFID,
            code=CARD,
        )
    )
    user, added = garage.positions[1], card.position
    return charger.charger_id, charger.password, (charger.position, user, added)


async def test_two_gateways_decide_as_one(tmp_path: Path) -> None:
    """R14, R21, R22, O9: what one has done counts at the other."""
    data = DataDirectory(tmp_path / "data")
    async with (
        running(data, tell=print) as system,
        connected(data) as client,
        another_gateway(data, system) as two,
    ):
        one = Replica(system.ocpp, system.grpc["gateway"], data)
        garage = await create_garage(client, PIN)
        other_id, password, positions = await add_charger_and_card(client, garage)
        for replica in (one, two):
            await replica.knows(positions)
        async with (
            simulated_charger(one.ocpp, CHARGER, garage.password) as first,
            simulated_charger(two.ocpp, OTHER, password) as second,
        ):
            await first.boot()
            await second.boot()
            await of_two_starts_with_one_card_one_wins(first, second)
            await a_command_finds_its_charger(one, other_id)
            await a_command_finds_its_charger(two, garage.charger_id)
        await wrong_pins_add_up(garage, one, two)
        await one.channel.close()


async def of_two_starts_with_one_card_one_wins(
    first: SimulatedCharger, second: SimulatedCharger
) -> None:
    """R21."""
    for _ in range(RACES):
        starts = await asyncio.gather(first.start(CARD), second.start(CARD))
        assert sorted(each.status for each in starts) == ["Accepted", "ConcurrentTx"]
        for charger, started in zip((first, second), starts, strict=True):
            if started.status == "Accepted":
                assert await charger.stop() == "Local"


async def a_command_finds_its_charger(asked: Replica, charger_id: str) -> None:
    cleared = await asked.commands.ClearCache(commands_pb2.ClearCacheRequest(charger_id=charger_id))
    assert cleared.outcome.outcome == "accepted"


async def wrong_pins_add_up(garage: Garage, one: Replica, two: Replica) -> None:
    """R14: so many at one, the last of them at the other."""
    for replica, wrong in ((one, MOST_WRONG - 1), (two, 1)):
        assert await replica.says(PIN) == "installation_permission"
        async with simulated_charger(replica.ocpp, CHARGER, garage.password) as charger:
            await charger.boot()
            for _ in range(wrong):
                assert await charger.authorize(WRONG) == VERDICTS.word(
                    gateway_pb2.AUTHORIZATION_STATUS_INVALID
                )

    async def both() -> set[str]:
        return {await replica.says(PIN) for replica in (one, two)}

    await eventually(both, lambda reasons: reasons == {"pin_locked_out"}, PATIENCE)
