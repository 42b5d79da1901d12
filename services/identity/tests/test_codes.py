"""What may be a code: R13 and R15 as values."""

from __future__ import annotations

import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.errors import InvalidArgumentError
from chargekey_common.keyed_ids import CodeClass, KeyedIds, classify, is_malformed
from chargekey_identity.application.identifications import Wanted
from chargekey_identity.domain.codes import (
    Code,
    canonical,
    is_secret,
    keyed,
    new_app_code,
    new_pin,
    require_pin_length,
    type_of,
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


@pytest.mark.parametrize("pin", ["#1234", "#0000", "#12345678"])
def test_a_pin_is_a_hash_sign_and_four_to_eight_digits(pin: str) -> None:
    """R13, S0-21."""
    assert canonical("PIN", pin) == (CodeClass.PIN, pin)


@pytest.mark.parametrize(
    "text",
    ["", "1234", "#123", "#123456789", "# 1234", " #1234", "#1234\n", "#12a4", "##1234", "#١٢٣٤"],
)
def test_anything_else_is_no_pin_and_a_missing_hash_sign_is_never_added(text: str) -> None:
    """R13, S0-21."""
    with pytest.raises(PinMalformedError):
        canonical("PIN", text)


@pytest.mark.parametrize(
    ("typed", "uid"),
    [
        ("04a2b3c4", "04A2B3C4"),
        ("04:A2:b3:c4:d5:e6:f7", "04A2B3C4D5E6F7"),
        ("04-a2-b3-c4", "04A2B3C4"),
        (" 04 A2.B3 C4 ", "04A2B3C4"),
        ("0102030405060708090a", "0102030405060708090A"),
        ("08010203040506", "08010203040506"),  # only 4-byte numbers are made up at every tap
    ],
)
def test_a_card_number_is_canonical_without_separators_and_in_capitals(
    typed: str, uid: str
) -> None:
    """R15."""
    assert canonical("RFID", typed) == (CodeClass.UID, uid)


@pytest.mark.parametrize(
    "text",
    ["", "04A2B3", "04A2B3C4D", "04A2B3C4D5", "04A2B3CG", "#1234", "\uff104A2B3C4"],
)
def test_a_card_number_of_another_length_or_with_other_signs_is_malformed(text: str) -> None:
    """R15."""
    with pytest.raises(RfidMalformedError):
        canonical("RFID", text)


@pytest.mark.parametrize(
    "text",
    ["08A2B3C4", "08 00 00 01", "01020304", "00000000", "0" * 14, "0" * 20, "ffffffff", "F" * 14],
)
def test_random_and_dummy_card_numbers_are_refused_with_an_explanation(text: str) -> None:
    """R15, S3-54."""
    with pytest.raises(RfidRandomError, match="random one"):
        canonical("RFID", text)


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("NL-TNM-C00122045-K", (CodeClass.CONTRACT, "NLTNMC00122045")),
        ("nltnmc00122045", (CodeClass.CONTRACT, "NLTNMC00122045")),
        ("NL*TNM*122045*0", (CodeClass.CONTRACT, "NLTNM1220450")),
        ("DE-8AA-C12345678", (CodeClass.UID, "DE8AAC12345678")),
        ("VID:a0b2c3d4e5f6", (CodeClass.OTHER, "A0B2C3D4E5F6")),
        ("A0:B2:C3:D4:E5:F6", (CodeClass.OTHER, "A0B2C3D4E5F6")),
    ],
)
def test_a_vehicle_is_known_by_its_contract_or_its_mac_address(
    typed: str, known: tuple[CodeClass, str]
) -> None:
    """R15; ISO 15118-2 annex H, DIN SPEC 91286."""
    assert canonical("VEHICLE_ID", typed) == known


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NL-TNM-C00122045-X",
        "NL*TNM*122045*1",
        "NLTNM122045",
        "NL-TNM-C0012204",
        "N1-TNM-C00122045",
        "NL-T|M-C00122045",
        "VID:04A2B3C4",
        "A0B2C3D4E5",
        "A0B2C3D4E5F607",
        "000000000000",
        "FFFFFFFFFFFF",
        "01005E000001",
        "APP:12345678901",
        "#1234",
        "A" * 300,
        "\uff2eLTNMC00122045",
    ],
)
def test_a_wrong_check_digit_and_nobodys_address_are_no_vehicle(text: str) -> None:
    """R15."""
    with pytest.raises(VehicleIdMalformedError):
        canonical("VEHICLE_ID", text)


@pytest.mark.parametrize("typed", ["+4791234567", "+47 91 23 45 67", "+47-912.34567"])
def test_a_telephone_is_known_by_its_international_number(typed: str) -> None:
    """ITU-T E.164."""
    assert canonical("SMS", typed) == (CodeClass.OTHER, "+4791234567")


@pytest.mark.parametrize(
    "text", ["", "+", "91234567", "004791234567", "+0791234567", "+47123", "+" + "1" * 16, "+47 x"]
)
def test_any_other_number_is_no_telephone(text: str) -> None:
    """ITU-T E.164."""
    with pytest.raises(PhoneMalformedError):
        canonical("SMS", text)


@pytest.mark.parametrize(
    "printed", ["4111111111111111", "4111 1111 1111 1111", "378282246310005", "30569309025904"]
)
def test_the_number_printed_on_a_bank_card_is_refused_by_name_and_scanning_advised(
    printed: str,
) -> None:
    """S3-54."""
    with pytest.raises(CreditCardNumberRefusedError, match="scanning"):
        canonical("CREDIT_CARD", printed)


def test_the_chip_of_a_bank_card_is_a_card_like_others_and_a_random_one_is_explained() -> None:
    """S3-54: its number at a reader may have digits alone, whatever they add up to."""
    assert canonical("CREDIT_CARD", "04:a2:b3:c4") == (CodeClass.UID, "04A2B3C4")
    assert canonical("CREDIT_CARD", "30569309025905") == (CodeClass.UID, "30569309025905")
    scanned = canonical("CREDIT_CARD", "30569309025904", scanned=True)
    assert scanned == (CodeClass.UID, "30569309025904")
    assert canonical("RFID", "30569309025904") == (CodeClass.UID, "30569309025904")
    with pytest.raises(RfidRandomError, match="random one"):
        canonical("CREDIT_CARD", "08A2B3C4")
    with pytest.raises(RfidMalformedError):
        canonical("CREDIT_CARD", "4111111111111112")


def test_the_code_of_the_app_is_made_here_and_never_typed_in() -> None:
    """S3-12."""
    made = {new_app_code() for _ in range(100)}
    assert len(made) == 100
    for code in made:
        assert re.fullmatch(r"APP:[A-Z2-7]{16}", code)
        assert classify(code) == (CodeClass.APP, code)
        assert not is_malformed(code)
        assert len(code) <= 20  # OCPP 1.6 IdToken
        with pytest.raises(AppNotByHandError):
            canonical("APP", code)


def test_a_new_pin_has_at_least_as_many_digits_as_its_installation_asks() -> None:
    """R13: and it says how many."""
    require_pin_length("#123456", 6)
    with pytest.raises(PinTooShortError, match="at least 6 digits"):
        require_pin_length("#12345", 6)


@given(st.integers(4, 8))
def test_a_made_up_pin_is_not_the_first_that_anybody_would_try(digits: int) -> None:
    """R13: not one digit again and again, and nothing in a row."""
    pin = new_pin(digits)
    assert canonical("PIN", pin) == (CodeClass.PIN, pin)
    assert len(pin) == digits + 1
    rows = "01234567890123456789", "98765432109876543210", *(digit * 8 for digit in "0123456789")
    assert not any(pin[1:] in row for row in rows)


def test_made_up_pins_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: those that are easily guessed are passed over."""
    numbers = iter((1111, 1234, 9012, 4321, 2109, 0, 1235))
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(numbers))
    assert new_pin(4) == "#1235"


SPELLINGS = st.one_of(
    st.from_regex(r"#[0-9]{4,8}", fullmatch=True).map(lambda text: ("PIN", text)),
    st.from_regex(r"1([0-9a-fA-F][:. -]?){7}", fullmatch=True).map(lambda text: ("RFID", text)),
    st.from_regex(r"1([0-9a-fA-F][:. -]?){13}", fullmatch=True).map(lambda text: ("RFID", text)),
    st.from_regex(r"1([A-F][:. -]?){19}", fullmatch=True).map(lambda text: ("CREDIT_CARD", text)),
    st.from_regex(r"[A-Za-z]{2}-?[A-Z0-9a-z]{3}-?[A-Z0-9a-z]{9}", fullmatch=True).map(
        lambda text: ("VEHICLE_ID", text)
    ),
    st.from_regex(r"((?i:vid:))?1[02468ACEace]([:-]?[0-9a-fA-F]){10}", fullmatch=True).map(
        lambda text: ("VEHICLE_ID", text)
    ),
    st.from_regex(r"\+[1-9]([ .-]?[0-9]){6,14}", fullmatch=True).map(lambda text: ("SMS", text)),
)


@given(SPELLINGS)
def test_what_is_typed_here_is_what_a_charger_that_sends_it_is_understood_as(
    typed: tuple[IdentificationType, str],
) -> None:
    """R15: in any spelling, and in the form it is kept in."""
    known = canonical(*typed)
    assert known == classify(typed[1]) == classify(known[1])
    assert known == canonical(typed[0], known[1], scanned=True)


@given(st.sampled_from(("RFID", "VEHICLE_ID", "SMS", "CREDIT_CARD", "PIN")), st.text(max_size=25))
def test_whatever_is_taken_is_taken_for_what_the_gateway_takes_it(
    kind: IdentificationType, text: str
) -> None:
    try:
        known = canonical(kind, text)
    except InvalidArgumentError:
        return
    assert known == classify(text)
    assert not is_malformed(text)


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("04A2B3C4", "RFID"),
        ("NLTNMC00122045K", "VEHICLE_ID"),
        ("VID:A0B2C3D4E5F6", "VEHICLE_ID"),
        ("+4791234567", "SMS"),
        ("08A2B3C4", None),
        ("#1234", None),
        ("1234", None),
        ("1234567", None),
        ("APP:ABCDEFGH2345672A", None),
        ("TAG-1", None),
        ("", None),
    ],
)
def test_what_a_code_from_a_charger_could_be_added_as(
    token: str, kind: IdentificationType | None
) -> None:
    """R16: nothing that may be known by heart."""
    assert type_of(token) == kind
    assert is_secret(token) == token.startswith(("#", "APP:"))


def test_a_longer_card_has_an_alias_for_readers_that_truncate_it() -> None:
    """R15."""
    keyed_ids = KeyedIds(b"a secret of sixteen bytes and more")
    long = keyed(keyed_ids, *canonical("RFID", "04A2B3C4D5E6F7"), None)
    alias = keyed_ids.alias_of_token("04A2B3C4")
    assert alias is not None
    assert long.alias == alias.hex()
    assert keyed(keyed_ids, *canonical("RFID", "04A2B3C4"), None).alias == ""


def test_a_code_never_shows_itself() -> None:
    """R17."""
    assert "8642" not in repr(Code("#8642", "8642"))
    assert "8642" not in repr(Wanted(type="PIN", code="#8642"))
