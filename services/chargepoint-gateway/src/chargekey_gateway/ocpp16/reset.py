"""Reset: the charger shall start again."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.command_messages import AcceptedOrRejected, Reset


async def send(peer: Peer, command: commands.Reset) -> Result:
    """Ask; a hard one ends nothing properly, a soft one stops transactions first (§5.14)."""
    request = Reset(type="Hard" if command.at_once else "Soft")
    return await ask(peer, request, AcceptedOrRejected)
