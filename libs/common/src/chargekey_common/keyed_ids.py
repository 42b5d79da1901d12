"""Keyed ids: how a code is found without being kept.

A keyed id is BLAKE2b-16, keyed by a deployment secret, over the code's class, its
canonical form and, for PINs, the installation. Whoever has the database but not
the secret cannot try out codes. Only identity and the gateway hold the secret.

Class and canonical form follow from what was presented and from nothing else: OCPP 1.6
announces no type, and real chargers name one card's type differently.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import re
from typing import Any, NewType

KeyedId = NewType("KeyedId", bytes)
KEYED_ID_SIZE = 16

SEPARATORS = str.maketrans("", "", " :-.*")
PIN_FORM = re.compile(r"#[0-9]{4,8}")
APP_PREFIX = "APP:"
APP_FORM = re.compile(rf"{APP_PREFIX}[A-Z2-7]{{16}}")
MAC_PREFIX = "VID:"
MAC_FORM = re.compile(r"[0-9A-F]{12}")
PHONE_FORM = re.compile(r"\+[1-9][0-9]{6,14}")  # ITU-T E.164: 15 digits at most
HEX_FORM = re.compile(r"[0-9A-F]+")
UID_LENGTHS = frozenset({8, 14, 20})  # hex digits: ISO 14443 type A has 4, 7 or 10 bytes
SHORTEST_UID = 8
LONGEST_TOKEN = 255  # OCPP 2.1 IdTokenType, the longest of them all
# No digit of a card number, so a group's token is never taken for a card. With the 18
# characters of 11 bytes it fills an idTag of OCPP 1.6 (CiString20).
GROUP_PREFIX = "G-"
_GROUP_BYTES = 11

# ISO 15118-2 annex H: country, provider, 9 characters, a check digit that may be left out.
_CONTRACT_FORM = re.compile(r"[A-Z]{2}[A-Z0-9]{12}")
_CHECKED_CONTRACT_FORM = re.compile(r"[A-Z]{2}[A-Z0-9]{13}")
# DIN SPEC 91286: country, provider, 6 characters, and the check digit always.
_OLD_CONTRACT_FORM = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9X]")


class CodeClass(enum.StrEnum):
    """What kind of code is presented."""

    UID = "uid"
    PIN = "pin"
    APP = "app"
    # A contract for charging, an eMAID, that is not the number of a card at the same time.
    CONTRACT = "contract"
    OTHER = "other"


def bare(code: str) -> str:
    """Return a code without separators, in capitals; one with other letters as it is.

    Capitals of other letters can be hexadecimal digits: those of the ligature U+FB00 are FF.
    """
    return code.translate(SEPARATORS).upper() if code.isascii() else code


def is_uid(canonical: str) -> bool:
    """Tell whether this is a card number in its canonical form."""
    return len(canonical) in UID_LENGTHS and HEX_FORM.fullmatch(canonical) is not None


def contract(code: str) -> str | None:
    """Return an eMAID without separators and, of ISO 15118, without check digit.

    None for what is none, with a wrong check digit for instance.
    """
    text = bare(code)
    if _CONTRACT_FORM.fullmatch(text) is not None:
        return text
    if _CHECKED_CONTRACT_FORM.fullmatch(text) is not None and _checks(text):
        return text[:-1]
    if _OLD_CONTRACT_FORM.fullmatch(text) is not None and _old_checks(text):
        return text
    return None


def mac(code: str) -> str | None:
    """Return a MAC address of 48 bits as 12 digits; chargers put `VID:` before it."""
    text = bare(code[len(MAC_PREFIX) :] if code[: len(MAC_PREFIX)].upper() == MAC_PREFIX else code)
    return text if MAC_FORM.fullmatch(text) else None


def phone(code: str) -> str | None:
    """Return a telephone number as `+` and its digits, if it is one of E.164."""
    text = bare(code)
    return text if PHONE_FORM.fullmatch(text) else None


def classify(token: str) -> tuple[CodeClass, str]:
    """Tell class and canonical form of what is presented, however it is spelled.

    What can be read in two ways is a card number rather than a contract, and a MAC
    address rather than a contract of the older standard.
    """
    if token.startswith("#"):
        return CodeClass.PIN, token
    # OCPP 1.6: idTags are case-insensitive, and of ASCII.
    text = token.upper() if token.isascii() else token
    if text.startswith(APP_PREFIX):
        return CodeClass.APP, text
    uid = bare(token)
    if is_uid(uid):
        return CodeClass.UID, uid
    address = mac(token)
    if address is not None:
        return CodeClass.OTHER, address
    found = contract(token)
    if found is not None:
        return CodeClass.UID if is_uid(found) else CodeClass.CONTRACT, found
    return CodeClass.OTHER, phone(token) or text


def is_malformed(token: str, announced: CodeClass | None = None) -> bool:
    """Tell whether no identification can have this as its code.

    PINs, card numbers, contracts and the portal's codes have their form; OCPP 1.6
    announces none of them, so what does not look like one may be on a card of another
    kind. Then only that counts which holds for every token: some printable characters,
    and not endlessly many.
    """
    told, _ = classify(token)
    match told if announced is None else announced:
        case CodeClass.PIN:
            return PIN_FORM.fullmatch(token) is None
        case CodeClass.UID:
            return told is not CodeClass.UID
        case CodeClass.APP:
            return APP_FORM.fullmatch(token.upper()) is None
        case CodeClass.CONTRACT:
            return contract(token) is None
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
        self._of_a_card = self._keyed.copy()
        self._of_a_card.update(_before(CodeClass.UID, ""))

    def of(self, code_class: CodeClass, canonical: str, installation_id: str) -> KeyedId:
        """Return a canonical code's keyed id; only a PIN's depends on the installation (R13)."""
        scope = installation_id if code_class is CodeClass.PIN else ""
        return self._of(code_class, scope, canonical)

    def of_card(self, token: str) -> KeyedId:
        """Return the keyed id of what was presented, if that is a card's number in canonical form.

        That form is not asked for: of anything else it is a keyed id that nothing has.
        """
        digest = self._of_a_card.copy()
        digest.update(token.encode())
        keyed_id: Any = digest.digest()  # the name of its type, called, would cost a tenth of this
        return keyed_id  # type: ignore[no-any-return]

    def of_token(self, token: str, installation_id: str) -> tuple[CodeClass, KeyedId]:
        """Return class and keyed id of what was presented at a charger of `installation_id`."""
        code_class, canonical = classify(token)
        return code_class, self.of(code_class, canonical, installation_id)

    def alias_of(self, code_class: CodeClass, canonical: str) -> KeyedId | None:
        """Return what a longer card number is known by at readers that truncate it (R15).

        None for everything else. Never the keyed id of a card that has these four bytes.
        """
        if code_class is not CodeClass.UID or len(canonical) == SHORTEST_UID:
            return None
        return self._of_first_bytes(canonical)

    def alias_of_token(self, token: str) -> KeyedId | None:
        """Return the alias that a truncating reader's four bytes may stand for, if they are so."""
        code_class, canonical = classify(token)
        if code_class is not CodeClass.UID or len(canonical) != SHORTEST_UID:
            return None
        return self._of_first_bytes(canonical)

    def group_token(
        self, group_id: str | None, user_id: str | None, installation_id: str
    ) -> str | None:
        """Return the token by which a site's chargers know what may stop each other's sessions.

        The group's where there is one, else the user's; None where there is neither (R22).
        Another one at every site: two that compare theirs learn of nobody whom they share.
        """
        if group_id is not None:
            keyed_id = self._of("group", installation_id, group_id)
        elif user_id is not None:
            keyed_id = self._of("group of a user", installation_id, user_id)
        else:
            return None
        return GROUP_PREFIX + base64.b32encode(keyed_id[:_GROUP_BYTES]).decode().rstrip("=")

    def _of_first_bytes(self, uid: str) -> KeyedId:
        return self._of("truncated", "", uid[:SHORTEST_UID])

    def _of(self, domain: str, scope: str, canonical: str) -> KeyedId:
        digest = self._keyed.copy()
        digest.update(_before(domain, scope) + canonical.encode())
        return KeyedId(digest.digest())


def _before(domain: str, scope: str) -> bytes:
    return f"{domain}\x00{scope}\x00".encode()


def _checks(emaid: str) -> bool:
    """Tell whether an eMAID's last character is the check digit of those before it.

    ISO 15118-2 annex H by eMI3's "Check digit calculation for contract IDs": a
    character is a pair of bits and a pair of trits, and the sums of their products with
    the powers of two matrices, (0 1, 1 1) modulo 2 and (0 1, 1 2) modulo 3, are nothing.
    """
    bit, other_bit, trit, other_trit = 0, 0, 0, 0
    for character in reversed(emaid):
        value = int(character, 36)
        bit, other_bit = bit + value // 18, other_bit + value // 9
        bit, other_bit = other_bit % 2, (bit + other_bit) % 2
        trit, other_trit = trit + value // 3, other_trit + value
        trit, other_trit = other_trit % 3, (trit + 2 * other_trit) % 3
    return not any((bit, other_bit, trit, other_trit))


def _old_checks(contract_id: str) -> bool:
    """Tell the same of DIN SPEC 91286: digits weighted by powers of two, modulo 11.

    A letter is the two digits of its number, A being 10; an X for ten.
    """
    digits = "".join(str(int(character, 36)) for character in contract_id[:-1])
    total = sum(int(digit) << place for place, digit in enumerate(digits))
    return contract_id[-1] == "0123456789X"[total % 11]
