"""ChangeAvailability: the charger shall serve vehicles, or none any more."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import ChangeAvailability, ScheduledOrNot
from chargekey_gateway.ocpp20.messages import Evse


async def send(peer: Peer, command: commands.ChangeAvailability) -> Result:
    """Ask; what charges is let finish (G03, G04)."""
    request = ChangeAvailability(
        operational_status="Operative" if command.operative else "Inoperative",
        evse=Evse(id=command.connector) if command.connector else None,
    )
    return await ask(peer, request, ScheduledOrNot)
