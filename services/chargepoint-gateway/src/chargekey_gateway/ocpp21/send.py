"""Any other action that this side may call, with a payload of the standard's form."""

from __future__ import annotations

from chargekey_gateway.commands import Result, Send
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.sending import Sending
from chargekey_gateway.ocpp20.send import ACTIONS as OLDER
from chargekey_gateway.ocpp20.send import is_our_own, without_password

# What only this side may call; DataTransfer both sides may.
ACTIONS = OLDER | {
    "AFRRSignal",
    "AdjustPeriodicEventStream",
    "ChangeTransactionTariff",
    "ClearDERControl",
    "ClearTariffs",
    "GetDERControl",
    "GetPeriodicEventStream",
    "GetTariffs",
    "NotifyAllowedEnergyTransfer",
    "NotifyWebPaymentStarted",
    "RequestBatterySwap",
    "SetDERControl",
    "SetDefaultTariff",
    "UpdateDynamicSchedule",
    "UsePriorityCharging",
}

_SENDING = Sending(
    "2.1",
    actions=ACTIONS | {"DataTransfer"},
    is_our_own=is_our_own,
    told=without_password,
)


async def send(peer: Peer, command: Send) -> Result:
    """Hold the payload against the schema, send it, and the answer likewise."""
    return await _SENDING.send(peer, command)
