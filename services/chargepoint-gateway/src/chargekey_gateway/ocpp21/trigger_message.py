"""TriggerMessage: the charger shall send one of its own now; 2.1 has more to send."""

from __future__ import annotations

from chargekey_gateway.commands import Result, Trigger
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20 import trigger_message
from chargekey_gateway.ocpp20.command_messages import TRIGGERS as OLDER

TRIGGERS = OLDER | {"SignV2G20Certificate"}


async def send(peer: Peer, command: Trigger) -> Result:
    """Ask; a trigger of a vendor's own is sent as an action, since it has a name besides."""
    return await trigger_message.send(peer, command, known=TRIGGERS)
