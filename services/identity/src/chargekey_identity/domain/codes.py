"""Codes: what people type in, made canonical or refused (R13, R15)."""

from __future__ import annotations

from typing import assert_never

import msgspec

from chargekey_common.keyed_ids import (
    HEX_FORM,
    LONGEST_TOKEN,
    PIN_FORM,
    UID_LENGTHS,
    CodeClass,
    canonical_uid,
)
from chargekey_identity.domain.errors import (
    PinMalformedError,
    RfidMalformedError,
    RfidRandomError,
)
from chargekey_identity.domain.events import IdentificationType

_RANDOM_PREFIX = "08"  # ISO 14443-3: a 4-byte UID that begins with 08 is made up at every tap
_RANDOM_LENGTH = 8
_DUMMY = "01020304"


class Code(msgspec.Struct, frozen=True):
    """A canonical code and its keyed id in hex; both empty where they are not to be known."""

    text: str
    keyed_id: str

    def __repr__(self) -> str:
        return "Code()"


UNREADABLE = Code("", "")


def canonical(identification_type: IdentificationType, text: str) -> tuple[CodeClass, str]:
    """Tell class and canonical form of what was typed in.

    Raises PinMalformedError, RfidMalformedError or RfidRandomError.
    """
    match identification_type:
        case "PIN":
            return CodeClass.PIN, _pin(text)
        case "RFID":
            return CodeClass.UID, _uid(text)
        case _:
            assert_never(identification_type)


def _pin(text: str) -> str:
    if PIN_FORM.fullmatch(text) is None:
        raise PinMalformedError
    return text


def _uid(text: str) -> str:
    uid = canonical_uid(text)
    if len(text) > LONGEST_TOKEN or len(uid) not in UID_LENGTHS or HEX_FORM.fullmatch(uid) is None:
        raise RfidMalformedError
    random = len(uid) == _RANDOM_LENGTH and uid.startswith(_RANDOM_PREFIX)
    if random or uid == _DUMMY or set(uid) in ({"0"}, {"F"}):
        raise RfidRandomError
    return uid
