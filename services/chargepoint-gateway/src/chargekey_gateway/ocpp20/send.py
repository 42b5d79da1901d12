"""Any other action that this side may call, with a payload of the standard's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chargekey_gateway.commands import Result, Send
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.sending import Sending
from chargekey_gateway.ocpp20 import variables

# What only this side may call; DataTransfer both sides may.
ACTIONS = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ClearCache",
        "ClearChargingProfile",
        "ClearDisplayMessage",
        "ClearVariableMonitoring",
        "CostUpdated",
        "CustomerInformation",
        "DeleteCertificate",
        "GetBaseReport",
        "GetChargingProfiles",
        "GetCompositeSchedule",
        "GetDisplayMessages",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "GetMonitoringReport",
        "GetReport",
        "GetTransactionStatus",
        "GetVariables",
        "InstallCertificate",
        "PublishFirmware",
        "RequestStartTransaction",
        "RequestStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SetDisplayMessage",
        "SetMonitoringBase",
        "SetMonitoringLevel",
        "SetNetworkProfile",
        "SetVariableMonitoring",
        "SetVariables",
        "TriggerMessage",
        "UnlockConnector",
        "UnpublishFirmware",
        "UpdateFirmware",
    }
)
HIGHEST_PROFILE = 3


def is_our_own(action: str, payload: Mapping[str, Any]) -> bool:
    """Whether local lists would part from what is known of them, or security be lowered.

    A network profile that does not have the highest security may have a lower one than
    the charger has now.
    """
    match action:
        case "SendLocalList":
            return True
        case "SetNetworkProfile":
            return bool(payload["connectionData"]["securityProfile"] != HIGHEST_PROFILE)
        case "SetVariables":
            return any(
                variables.bears_on_security(each["component"]["name"], each["variable"]["name"])
                for each in payload["setVariableData"]
            )
        case _:
            return False


def without_password(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that can be shown."""
    if action != "GetVariables":
        return payload
    results = payload["getVariableResult"]
    shown = [each for each in results if not variables.is_password(each["variable"]["name"])]
    return {**payload, "getVariableResult": shown}


_SENDING = Sending(
    "2.0.1",
    actions=ACTIONS | {"DataTransfer"},
    is_our_own=is_our_own,
    told=without_password,
)


async def send(peer: Peer, command: Send) -> Result:
    """Hold the payload against the schema, send it, and the answer likewise."""
    return await _SENDING.send(peer, command)
