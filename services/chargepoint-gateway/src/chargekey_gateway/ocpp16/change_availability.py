"""ChangeAvailability: the charger shall serve vehicles, or none any more."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.command_messages import (
    ChangeAvailability,
    ChangeAvailabilityResponse,
)


async def send(peer: Peer, command: commands.ChangeAvailability) -> Result:
    """Ask; what charges is let finish (§5.2)."""
    request = ChangeAvailability(
        connector_id=command.connector or 0,
        type="Operative" if command.operative else "Inoperative",
    )
    return await ask(peer, request, ChangeAvailabilityResponse)
