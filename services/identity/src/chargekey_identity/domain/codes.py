"""Codes: what people type in or present, made canonical or refused (R13, R15)."""

from __future__ import annotations

import base64
import itertools
import re
import secrets
from typing import assert_never

import msgspec

from chargekey_common.keyed_ids import (
    APP_PREFIX,
    LONGEST_TOKEN,
    PIN_FORM,
    SHORTEST_UID,
    CodeClass,
    KeyedIds,
    bare,
    classify,
    contract,
    is_uid,
    mac,
    phone,
)
from chargekey_identity.domain.errors import (
    AppNotByHandError,
    CreditCardNumberRefusedError,
    PhoneMalformedError,
    PinMalformedError,
    PinTooShortError,
    RfidMalformedError,
    RfidRandomError,
    VehicleIdMalformedError,
)
from chargekey_identity.domain.events import IdentificationType

SHORTEST_PIN = 4
LONGEST_PIN = 8

_RANDOM_PREFIX = "08"  # ISO 14443-3: a 4-byte UID that begins with 08 is made up at every tap
_DUMMY = "01020304"
_PRINTED_NUMBER = re.compile(r"[0-9]{13,19}")  # ISO/IEC 7812: what is embossed on bank cards
_APP_BYTES = 10  # 16 characters of base32: what OCPP 1.6 has room for behind the prefix


class Code(msgspec.Struct, frozen=True):
    """A canonical code, its keyed id in hex and, of long card numbers, the alias's.

    All empty where they are not to be known.
    """

    text: str
    keyed_id: str
    alias: str = ""

    def __repr__(self) -> str:
        return "Code()"


UNREADABLE = Code("", "")


def keyed(
    keyed_ids: KeyedIds, code_class: CodeClass, canonical: str, installation_id: str | None
) -> Code:
    """Return a canonical code with what it is found by."""
    alias = keyed_ids.alias_of(code_class, canonical)
    keyed_id = keyed_ids.of(code_class, canonical, installation_id or "")
    return Code(canonical, keyed_id.hex(), "" if alias is None else alias.hex())


def canonical(
    identification_type: IdentificationType, text: str, *, scanned: bool = False
) -> tuple[CodeClass, str]:
    """Tell class and canonical form of what was typed in, or `scanned` at a charger.

    They are those that the gateway makes of it. Raises AppNotByHandError,
    CreditCardNumberRefusedError, PhoneMalformedError, PinMalformedError,
    RfidMalformedError, RfidRandomError or VehicleIdMalformedError.
    """
    match identification_type:
        case "PIN":
            if PIN_FORM.fullmatch(text) is None:
                raise PinMalformedError
        case "RFID":
            _require_card(text)
        case "CREDIT_CARD":
            # A reader shows the chip's number, though it may have digits alone.
            if not scanned and _is_printed_number(text):
                raise CreditCardNumberRefusedError
            _require_card(text)
        case "VEHICLE_ID":
            _require_vehicle(text)
        case "SMS":
            if len(text) > LONGEST_TOKEN or phone(text) is None:
                raise PhoneMalformedError
        case "APP":
            raise AppNotByHandError
        case _:
            assert_never(identification_type)
    return classify(text)


def require_pin_length(pin: str, least: int) -> None:
    """Raise PinTooShortError where a new PIN has fewer digits than the installation asks for."""
    if len(pin) - 1 < least:
        message = f"Take at least {least} digits."
        raise PinTooShortError(message)


def type_of(token: str) -> IdentificationType | None:
    """Tell what a code from a charger could be added as; None for what could not.

    None, too, for what may be somebody's secret: PINs, with their sign or without, and
    the codes of the portal.
    """
    for each in ("RFID", "VEHICLE_ID", "SMS"):
        try:
            canonical(each, token, scanned=True)
        except (
            PhoneMalformedError,
            RfidMalformedError,
            RfidRandomError,
            VehicleIdMalformedError,
        ):
            continue
        return each
    return None


def is_secret(token: str) -> bool:
    """Tell whether a code from a charger is one that people know by heart or nobody sees."""
    return classify(token)[0] in (CodeClass.PIN, CodeClass.APP)


def new_app_code() -> str:
    """Return a code that nobody can guess, for the portal to start sessions with."""
    return APP_PREFIX + base64.b32encode(secrets.token_bytes(_APP_BYTES)).decode()


def new_pin(digits: int) -> str:
    """Return a random PIN that is not the first that anybody would try."""
    while True:
        pin = f"#{secrets.randbelow(10**digits):0{digits}}"
        if not _is_trivial(pin[1:]):
            return pin


def _is_trivial(digits: str) -> bool:
    """Tell whether each digit is the one before it, or the next one up, or down (9 to 0, too)."""
    steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(digits)}
    return len(steps) == 1 and steps <= {0, 1, 9}


def _require_card(text: str) -> None:
    uid = bare(text)
    if len(text) > LONGEST_TOKEN or not is_uid(uid):
        raise RfidMalformedError
    random = len(uid) == SHORTEST_UID and uid.startswith(_RANDOM_PREFIX)
    if random or uid == _DUMMY or set(uid) in ({"0"}, {"F"}):
        raise RfidRandomError


def _require_vehicle(text: str) -> None:
    address = mac(text)
    if len(text) > LONGEST_TOKEN or (address is None and contract(text) is None):
        raise VehicleIdMalformedError
    if is_secret(text):  # with its separators taken out, a code of the portal can look like one
        raise VehicleIdMalformedError
    # Nobody's own address: all zeros, and those of groups (IEEE 802: the first octet is odd).
    if address is not None and (int(address, 16) == 0 or int(address[1], 16) % 2):
        raise VehicleIdMalformedError


def _is_printed_number(text: str) -> bool:
    """Tell whether the check digit of ISO/IEC 7812-1 (Luhn's) is right."""
    number = bare(text)
    if _PRINTED_NUMBER.fullmatch(number) is None:
        return False
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in number[-2::-2])
    return (sum(map(int, number[-1::-2])) + sum(doubled)) % 10 == 0
