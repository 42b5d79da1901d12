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

STATUS = "StatusNotification"
# It is asked for of a plug (F06.FR.12). The vocabulary names EVSEs; of several it is the first.
PLUG = 1


async def send(peer: Peer, command: Trigger, *, known: frozenset[str] = TRIGGERS) -> Result:
    """Ask for one of the messages that the version `known` to the charger has."""
    if command.message not in known:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    plug = PLUG if command.message == STATUS else None
    request = TriggerMessage(
        requested_message=command.message,
        evse=Evse(id=command.connector, connector_id=plug) if command.connector else None,
    )
    return await ask(peer, request, TriggerMessageResponse)
