"""TriggerMessage and ExtendedTriggerMessage: the charger shall send one of its own now."""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, Result, Trigger
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.command_messages import (
    EXTENDED_TRIGGERS,
    TRIGGERS,
    ExtendedTriggerMessage,
    TriggerMessage,
    TriggerMessageResponse,
)


async def send(peer: Peer, command: Trigger) -> Result:
    """Ask, by the older action where it knows the message: more chargers have it."""
    if command.message in TRIGGERS:
        kind: type[TriggerMessage | ExtendedTriggerMessage] = TriggerMessage
    elif command.message in EXTENDED_TRIGGERS:
        kind = ExtendedTriggerMessage
    else:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    request = kind(requested_message=command.message, connector_id=command.connector or None)
    return await ask(peer, request, TriggerMessageResponse)
