"""Reset: the charger shall start again."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import Reset, ScheduledOrNot


async def send(peer: Peer, command: commands.Reset) -> Result:
    """Ask: at once, which ends transactions (B12), or once it is idle (B11)."""
    request = Reset(type="Immediate" if command.at_once else "OnIdle")
    return await ask(peer, request, ScheduledOrNot)
