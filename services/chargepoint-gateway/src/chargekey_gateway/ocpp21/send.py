"""Any other action that this side may call, with a payload of the standard's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chargekey_gateway.commands import Result, Send
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.not_for_here import CODES, Judge, may, never, only_text
from chargekey_gateway.ocpp.sending import Sending
from chargekey_gateway.ocpp20.send import JUDGES as OLDER
from chargekey_gateway.ocpp20.send import without_secrets

# What 2.0.1 has, and what only this side may call: what people send.
JUDGES: Mapping[str, Judge] = {
    **OLDER,
    "AFRRSignal": may,
    "AdjustPeriodicEventStream": may,
    "ChangeTransactionTariff": only_text,
    "ClearDERControl": may,
    "ClearTariffs": may,
    "GetDERControl": may,
    "GetPeriodicEventStream": may,
    "GetTariffs": may,  # without the codes that they are for
    "NotifyAllowedEnergyTransfer": may,
    "NotifyWebPaymentStarted": may,
    "RequestBatterySwap": never(CODES),
    "SetDERControl": may,
    "SetDefaultTariff": only_text,
    "UpdateDynamicSchedule": may,
    "UsePriorityCharging": may,
}
ACTIONS = frozenset(JUDGES) - {"DataTransfer"}


def _without_codes(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    if action != "GetTariffs":
        return without_secrets(action, payload)
    assignments = payload.get("tariffAssignments", [])
    shown = [
        {name: value for name, value in each.items() if name != "idTokens"} for each in assignments
    ]
    return {**payload, "tariffAssignments": shown}


_SENDING = Sending("2.1", judges=JUDGES, told=_without_codes)


async def send(peer: Peer, command: Send) -> Result:
    """Hold the payload against the schema, send it, and the answer likewise."""
    return await _SENDING.send(peer, command)
