"""Tokens: as chargers present them, and as this side writes them.

Of which class they are follows from how they are spelled.

Real chargers name the type of one card differently in Authorize and in TransactionEvent,
so a type says nothing that the spelling does not, but for one case and one exception. A
KeyCode is what somebody typed on a keypad; keypads have no `#` to spell a PIN with, or
take it for "done". So digits alone that are a KeyCode are a PIN whose `#` the type says,
and nothing else: not the card that may have the same eight digits for its number.
And NoAuthorization means that nothing was presented at all.
"""

from __future__ import annotations

import re

import msgspec

from chargekey_common.keyed_ids import CodeClass, classify, mac
from chargekey_gateway.commands import ANONYMOUS
from chargekey_gateway.ocpp20.messages import IdToken

NO_AUTHORIZATION = "noauthorization"
KEY_CODE = "keycode"
NEVER_CACHED = frozenset({"central", NO_AUTHORIZATION})

_DIGITS = re.compile(r"[0-9]+")
# As what a code is written, by its class.
_TYPES = {
    CodeClass.UID: "ISO14443",
    CodeClass.APP: "Central",
    CodeClass.CONTRACT: "eMAID",
    CodeClass.OTHER: "Central",
}


class Presented(msgspec.Struct, frozen=True):
    """Our token, and what it is said to be where that counts."""

    token: str
    announced: CodeClass | None = None

    def __repr__(self) -> str:
        """Show nothing: it is a code."""
        return "Presented"


# Nothing: accepted where nothing has to be presented, and nobody's code anywhere else.
NOTHING = Presented("")


def read(id_token: IdToken) -> Presented:
    """Return what is presented, `NOTHING` where it is nothing."""
    kind = id_token.type.lower()
    if kind == NO_AUTHORIZATION:
        return NOTHING
    if kind == KEY_CODE:
        typed = id_token.id_token
        pin = f"#{typed}" if _DIGITS.fullmatch(typed) else typed
        return Presented(pin, CodeClass.PIN)
    return Presented(id_token.id_token)


def is_cached(id_token: IdToken) -> bool:
    """Whether a charger may remember the verdict: not of what is made for one time (C10)."""
    return id_token.type.lower() not in NEVER_CACHED


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
