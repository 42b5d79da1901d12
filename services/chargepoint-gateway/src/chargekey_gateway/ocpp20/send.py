"""Any other action that this side may call, with a payload of the standard's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chargekey_gateway.commands import Result, Send
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.kept_settings import is_secret, why_kept
from chargekey_gateway.ocpp.not_for_here import (
    CERTIFICATES,
    CODES,
    CUSTOMERS,
    FIRMWARE,
    LISTS,
    LOGS,
    NETWORK,
    Judge,
    may,
    never,
    no_tunnel,
    only_text,
)
from chargekey_gateway.ocpp.sending import Sending


def _variables(payload: Mapping[str, Any]) -> str:
    found = (why_kept(_names(each), each["attributeValue"]) for each in payload["setVariableData"])
    return next(filter(None, found), "")


def _names(data: Mapping[str, Any]) -> list[str]:
    parts = (data["component"], data["variable"])
    return [part.get(name, "") for part in parts for name in ("name", "instance")]


# What only this side may call, and DataTransfer, which both sides may: what people send.
# What is called a report comes to the gateway, and is told to nobody.
JUDGES: Mapping[str, Judge] = {
    "CancelReservation": may,
    "CertificateSigned": never(CERTIFICATES),
    "ChangeAvailability": may,
    "ClearCache": may,
    "ClearChargingProfile": may,
    "ClearDisplayMessage": may,
    "ClearVariableMonitoring": may,
    "CostUpdated": may,
    "CustomerInformation": never(CUSTOMERS),
    "DataTransfer": no_tunnel,
    "DeleteCertificate": never(CERTIFICATES),
    "GetBaseReport": may,
    "GetChargingProfiles": may,
    "GetCompositeSchedule": may,
    "GetDisplayMessages": may,
    "GetInstalledCertificateIds": may,
    "GetLocalListVersion": may,
    "GetLog": never(LOGS),
    "GetMonitoringReport": may,
    "GetReport": may,
    "GetTransactionStatus": may,
    "GetVariables": may,  # without secrets
    "InstallCertificate": never(CERTIFICATES),
    "PublishFirmware": never(FIRMWARE),
    "RequestStartTransaction": never(CODES),
    "RequestStopTransaction": may,  # as whoever serves the site may stop any (R22)
    "ReserveNow": never(CODES),
    "Reset": may,
    "SendLocalList": never(LISTS),
    "SetChargingProfile": may,
    "SetDisplayMessage": only_text,
    "SetMonitoringBase": may,
    "SetMonitoringLevel": may,
    "SetNetworkProfile": never(NETWORK),
    "SetVariableMonitoring": may,
    "SetVariables": _variables,
    "TriggerMessage": may,
    "UnlockConnector": may,
    "UnpublishFirmware": may,
    "UpdateFirmware": never(FIRMWARE),
}
ACTIONS = frozenset(JUDGES) - {"DataTransfer"}


def without_secrets(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that can be shown."""
    if action != "GetVariables":
        return payload
    results = payload["getVariableResult"]
    shown = [
        each for each in results if not is_secret(_names(each), each.get("attributeValue", ""))
    ]
    return {**payload, "getVariableResult": shown}


_SENDING = Sending("2.0.1", judges=JUDGES, told=without_secrets)


async def send(peer: Peer, command: Send) -> Result:
    """Hold the payload against the schema, send it, and the answer likewise."""
    return await _SENDING.send(peer, command)
