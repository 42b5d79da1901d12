"""Tokens as this side writes them: what they are follows from the code, or from our type."""

from __future__ import annotations

from chargekey_common.keyed_ids import CodeClass, classify, mac
from chargekey_gateway.commands import ANONYMOUS
from chargekey_gateway.ocpp20.command_messages import IdToken

_TYPES = {
    CodeClass.UID: "ISO14443",
    CodeClass.APP: "Central",
    CodeClass.CONTRACT: "eMAID",
    CodeClass.OTHER: "Central",
}


def written(code: str, identification_type: str = "") -> IdToken:
    """Return the one spelling of a code that chargers are told, as they would send it.

    A PIN is the digits alone: that it is one is said by its type.
    """
    if code == ANONYMOUS:
        return IdToken(id_token="", type="NoAuthorization")
    code_class, _ = classify(code)
    if code_class is CodeClass.PIN:
        return IdToken(id_token=code.removeprefix("#"), type="KeyCode")
    address = mac(code)
    if address is not None and identification_type in {"", "VEHICLE_ID"}:
        return IdToken(id_token=address, type="MacAddress")
    kind = "eMAID" if identification_type == "VEHICLE_ID" else _TYPES[code_class]
    return IdToken(id_token=code.upper() if code.isascii() else code, type=kind)


def group(group_id: str | None) -> IdToken | None:
    """Return the group that a token is in, as chargers are told of it."""
    return None if group_id is None else IdToken(id_token=group_id, type="Central")
