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

SEPARATORS = str.maketrans("", "", " :-.")
PIN_FORM = re.compile(r"#[0-9]{4,8}")
HEX_FORM = re.compile(r"[0-9A-F]+")
UID_LENGTHS = frozenset({8, 14, 20})  # hex digits: ISO 14443 type A has 4, 7 or 10 bytes


class CodeClass(enum.StrEnum):
    """What kind of code is presented; chargers name one card's type differently."""

    UID = "uid"
    PIN = "pin"
    OTHER = "other"


def canonical_uid(code: str) -> str:
    """Return a card number without separators, in capitals; it need not be a valid one."""
    return code.translate(SEPARATORS).upper()


def classify(token: str) -> tuple[CodeClass, str]:
    """Tell class and canonical form of what a charger sends without a type (OCPP 1.6)."""
    if token.startswith("#"):
        return CodeClass.PIN, token
    uid = canonical_uid(token)
    if len(uid) in UID_LENGTHS and HEX_FORM.fullmatch(uid):
        return CodeClass.UID, uid
    return CodeClass.OTHER, token.upper()  # OCPP 1.6: idTags are case-insensitive


class KeyedIds:
    """Makes keyed ids under one secret of 16 to 64 bytes; safe from any thread."""

    def __init__(self, secret: bytes) -> None:
        """Key every id by `secret`; raises ValueError where it is too short to be one."""
        if len(secret) < 16:  # noqa: PLR2004 - 128 bits, the least a key has
            message = "the keyed id secret must have at least 16 bytes"
            raise ValueError(message)
        self._keyed = hashlib.blake2b(digest_size=16, key=secret)

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
