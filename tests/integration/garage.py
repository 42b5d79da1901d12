"""What the stories begin with: a restricted installation, a charger, Ada and her PIN."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.history.v1 import history_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_stack.client import Client

from .outages import PATIENCE, insist

CHARGER = "CP-1"

Seen = TypeVar("Seen")


class Garage(msgspec.Struct, frozen=True):
    """`positions` are those from which all of it is visible."""

    installation_id: str
    charger_id: str
    password: str
    user_id: str
    identification_id: str
    positions: Sequence[str]


async def create_garage(client: Client, pin: str, identity: str = CHARGER) -> Garage:
    """Create all of it, with a charger of this OCPP identity."""
    installation = await client.installations.CreateInstallation(
        installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo")
    )
    charger = await client.chargers.AddCharger(
        chargers_pb2.AddChargerRequest(
            installation_id=installation.installation_id, ocpp_identity=identity
        )
    )
    user = await client.add_local_user(
        users_pb2.AddLocalUserRequest(
            installation_id=installation.installation_id, first_name="Ada", last_name="Lovelace"
        )
    )
    assert not user.pending
    added = await client.identifications.AddIdentification(
        identifications_pb2.AddIdentificationRequest(
            user_id=user.user_id, type=identifications_pb2.IDENTIFICATION_TYPE_PIN, code=pin
        )
    )
    return Garage(
        installation_id=installation.installation_id,
        charger_id=charger.charger_id,
        password=charger.password,
        user_id=user.user_id,
        identification_id=added.identification_id,
        positions=[charger.position, user.access_position, added.position],
    )


async def authorize(
    client: Client, pin: str, *at_least: str, identity: str = CHARGER
) -> gateway_pb2.AuthorizeResponse:
    """Ask the gateway, and why; with `at_least` again until its view includes that."""
    request = gateway_pb2.AuthorizeRequest(
        ocpp_identity=identity, code=pin, explain=True, at_least=at_least
    )
    if not at_least:
        return await client.gateway.Authorize(request)
    async with asyncio.timeout(PATIENCE):
        return await insist(client.gateway.Authorize, request)


async def sessions(client: Client, installation_id: str = "") -> Sequence[history_pb2.Session]:
    """Return every session, of one installation or all, the newest first."""
    request = history_pb2.ListSessionsRequest(installation_id=installation_id)
    return (await client.history.ListSessions(request)).sessions


async def refusals(client: Client, installation_id: str = "") -> Sequence[history_pb2.Refusal]:
    """Return every refusal, of one installation or all, the newest first."""
    request = history_pb2.ListRefusalsRequest(installation_id=installation_id)
    return (await client.history.ListRefusals(request)).refusals


async def eventually(
    look: Callable[[], Awaitable[Seen]], enough: Callable[[Seen], object], patience: float = 30
) -> Seen:
    """History and mail come after the fact: look until they have, or for `patience` seconds."""
    deadline = time.monotonic() + patience
    while not enough(seen := await look()):
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.02)
    return seen
