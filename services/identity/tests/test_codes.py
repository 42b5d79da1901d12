"""What may be a code: R13 and R15 as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.keyed_ids import CodeClass, classify
from chargekey_identity.domain.codes import Code, canonical
from chargekey_identity.domain.errors import (
    PinMalformedError,
    RfidMalformedError,
    RfidRandomError,
)


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


@given(
    st.one_of(
        st.from_regex(r"#[0-9]{4,8}", fullmatch=True).map(lambda text: ("PIN", text)),
        st.from_regex(r"1([0-9a-fA-F][:. -]?){7}", fullmatch=True).map(lambda text: ("RFID", text)),
    )
)
def test_what_is_typed_here_is_what_a_charger_that_sends_it_is_understood_as(
    typed: tuple[str, str],
) -> None:
    kind, text = typed
    assert canonical(kind, text) == classify(text)  # type: ignore[arg-type] # of the two words


def test_a_code_never_shows_itself() -> None:
    """R17."""
    assert "8642" not in repr(Code("#8642", "8642"))
