"""Keyed ids: how a code is found without being kept.

A keyed id is BLAKE2b-16, keyed by a deployment secret, over the code's class, its
canonical form and, for PINs, the installation. Whoever has the database but not
the secret cannot try out codes. Only identity and the gateway hold the secret.
"""

from __future__ import annotations

import enum
import hashlib
import re
from typing import NewType

KeyedId = NewType("KeyedId", bytes)
KEYED_ID_SIZE = 16

SEPARATORS = str.maketrans("", "", " :-.")
PIN_FORM = re.compile(r"#[0-9]{4,8}")
HEX_FORM = re.compile(r"[0-9A-F]+")
UID_LENGTHS = frozenset({8, 14, 20})  # hex digits: ISO 14443 type A has 4, 7 or 10 bytes
LONGEST_TOKEN = 255  # OCPP 2.1 IdTokenType, the longest of them all


class CodeClass(enum.StrEnum):
    """What kind of code is presented; chargers name one card's type differently."""

    UID = "uid"
    PIN = "pin"
    OTHER = "other"


def canonical_uid(code: str) -> str:
    """Return a card number without separators, in capitals; it need not be a valid one."""
    # Capitals of other letters can be hexadecimal digits: those of the ligature U+FB00 are FF.
    return code.translate(SEPARATORS).upper() if code.isascii() else code


def classify(token: str) -> tuple[CodeClass, str]:
    """Tell class and canonical form of what a charger sends without a type (OCPP 1.6)."""
    if token.startswith("#"):
        return CodeClass.PIN, token
    uid = canonical_uid(token)
    if len(uid) in UID_LENGTHS and HEX_FORM.fullmatch(uid):
        return CodeClass.UID, uid
    return CodeClass.OTHER, token.upper()  # OCPP 1.6: idTags are case-insensitive


def is_malformed(token: str, announced: CodeClass | None = None) -> bool:
    """Tell whether no identification can have this as its code.

    PINs and card numbers have their form; OCPP 1.6 announces neither, so what does not
    look like one of them may be on a card of another kind. Then only that counts which
    holds for every token: some printable characters, and not endlessly many.
    """
    told, _ = classify(token)
    match told if announced is None else announced:
        case CodeClass.PIN:
            return PIN_FORM.fullmatch(token) is None
        case CodeClass.UID:
            return told is not CodeClass.UID
        case CodeClass.OTHER:
            return not 0 < len(token) <= LONGEST_TOKEN or not token.isprintable()


class KeyedIds:
    """Makes keyed ids under one secret of 16 to 64 bytes; safe from any thread."""

    def __init__(self, secret: bytes) -> None:
        """Key every id by `secret`; raises ValueError where it is too short to be one."""
        if len(secret) < 16:  # noqa: PLR2004 - 128 bits, the least a key has
            message = "the keyed id secret must have at least 16 bytes"
            raise ValueError(message)
        self._keyed = hashlib.blake2b(digest_size=KEYED_ID_SIZE, key=secret)

    def of(self, code_class: CodeClass, canonical: str, installation_id: str) -> KeyedId:
        """Return a canonical code's keyed id; only a PIN's depends on the installation (R13)."""
        digest = self._keyed.copy()
        scope = installation_id if code_class is CodeClass.PIN else ""
        digest.update(f"{code_class}\x00{scope}\x00{canonical}".encode())
        return KeyedId(digest.digest())

    def of_token(self, token: str, installation_id: str) -> tuple[CodeClass, KeyedId]:
        """Return class and keyed id of what was presented at a charger of `installation_id`."""
        code_class, canonical = classify(token)
        return code_class, self.of(code_class, canonical, installation_id)
