"""TriggerMessage: the charger shall send one of its own now."""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, Result, Trigger
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import (
    TRIGGERS,
    TriggerMessage,
    TriggerMessageResponse,
)
from chargekey_gateway.ocpp20.messages import Evse


async def send(peer: Peer, command: Trigger, *, known: frozenset[str] = TRIGGERS) -> Result:
    """Ask for one of the messages that the version `known` to the charger has."""
    if command.message not in known:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    request = TriggerMessage(
        requested_message=command.message,
        evse=Evse(id=command.connector) if command.connector else None,
    )
    return await ask(peer, request, TriggerMessageResponse)
