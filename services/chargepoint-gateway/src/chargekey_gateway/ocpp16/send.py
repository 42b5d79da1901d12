"""Any other action that this side may call, with a payload of the standard's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chargekey_gateway.commands import Result, Send
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.sending import Sending
from chargekey_gateway.ocpp16.security_keys import PASSWORD, PROFILE, spelled

# What only this side may call; DataTransfer both sides may.
ACTIONS = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "ClearChargingProfile",
        "DeleteCertificate",
        "ExtendedTriggerMessage",
        "GetCompositeSchedule",
        "GetConfiguration",
        "GetDiagnostics",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "InstallCertificate",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SignedUpdateFirmware",
        "TriggerMessage",
        "UnlockConnector",
        "UpdateFirmware",
    }
)


def _is_our_own(action: str, payload: Mapping[str, Any]) -> bool:
    """Whether local lists would part from what is known of them, or security would be lowered."""
    match action:
        case "SendLocalList":
            return True
        case "ChangeConfiguration":
            return spelled(payload["key"]) in {PASSWORD, PROFILE}
        case _:
            return False


def _without_password(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    if action != "GetConfiguration":
        return payload
    keys = payload.get("configurationKey", [])
    return {**payload, "configurationKey": [k for k in keys if spelled(k["key"]) != PASSWORD]}


_SENDING = Sending(
    "1.6",
    actions=ACTIONS | {"DataTransfer"},
    is_our_own=_is_our_own,
    told=_without_password,
)


async def send(peer: Peer, command: Send) -> Result:
    """Hold the payload against the schema, send it, and the answer likewise."""
    return await _SENDING.send(peer, command)
