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
    FIRMWARE,
    LISTS,
    LOGS,
    Judge,
    may,
    never,
    no_tunnel,
)
from chargekey_gateway.ocpp.sending import Sending


def _setting(payload: Mapping[str, Any]) -> str:
    return why_kept([payload["key"]], payload["value"])


# What only this side may call, and DataTransfer, which both sides may: what people send.
JUDGES: Mapping[str, Judge] = {
    "CancelReservation": may,
    "CertificateSigned": never(CERTIFICATES),
    "ChangeAvailability": may,
    "ChangeConfiguration": _setting,
    "ClearCache": may,
    "ClearChargingProfile": may,
    "DataTransfer": no_tunnel,
    "DeleteCertificate": never(CERTIFICATES),
    "ExtendedTriggerMessage": may,
    "GetCompositeSchedule": may,
    "GetConfiguration": may,  # without secrets
    "GetDiagnostics": never(LOGS),
    "GetInstalledCertificateIds": may,
    "GetLocalListVersion": may,
    "GetLog": never(LOGS),
    "InstallCertificate": never(CERTIFICATES),
    "RemoteStartTransaction": never(CODES),
    "RemoteStopTransaction": may,  # as whoever serves the site may stop any (R22)
    "ReserveNow": never(CODES),
    "Reset": may,
    "SendLocalList": never(LISTS),
    "SetChargingProfile": may,
    "SignedUpdateFirmware": never(FIRMWARE),
    "TriggerMessage": may,
    "UnlockConnector": may,
    "UpdateFirmware": never(FIRMWARE),
}
ACTIONS = frozenset(JUDGES) - {"DataTransfer"}


def _without_secrets(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    if action != "GetConfiguration":
        return payload
    keys = payload.get("configurationKey", [])
    shown = [each for each in keys if not is_secret([each["key"]], each.get("value", ""))]
    return {**payload, "configurationKey": shown}


_SENDING = Sending("1.6", judges=JUDGES, told=_without_secrets)


async def send(peer: Peer, command: Send) -> Result:
    """Hold the payload against the schema, send it, and the answer likewise."""
    return await _SENDING.send(peer, command)
