"""What is presented, in every spelling, and what it is known by: R13, R15 and R17 as values."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common import keyed_ids
from chargekey_common.keyed_ids import CodeClass, KeyedIds, classify, is_malformed

KEYED = KeyedIds(b"a secret of sixteen bytes and more")
CHARACTERS = string.digits + string.ascii_uppercase

UIDS = st.sampled_from((8, 14, 20)).flatmap(
    lambda length: st.text("0123456789ABCDEF", min_size=length, max_size=length)
)
MACS = st.text("0123456789ABCDEF", min_size=12, max_size=12)
CONTRACTS = st.from_regex(r"[A-Z]{2}[A-Z0-9]{12}", fullmatch=True)
OLD_CONTRACTS = st.from_regex(r"[A-Z]{2}[A-Z0-9]{9}", fullmatch=True).map(
    lambda base: next(base + each for each in "0123456789X" if keyed_ids.contract(base + each))
)
PHONES = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


@st.composite
def spelled(draw: st.DrawFn, code: str) -> str:
    """Draw a spelling: small letters here and there, separators between any two characters."""
    cased = [draw(st.sampled_from((each, each.lower()))) for each in code]
    return "".join(each + draw(st.sampled_from(("", "", "", *" :-.*"))) for each in cased)


@pytest.mark.parametrize(
    ("contract", "check"),
    [
        ("NN123ABCDEFGHI", "T"),
        ("FRXYZ123456789", "2"),
        ("ITA1B2C3E4F5G6", "4"),
        ("ESZU8WOX834H1D", "R"),
        ("PT73902837ABCZ", "Z"),
        ("DE83DUIEN83QGZ", "D"),
        ("DE83DUIEN83ZGQ", "M"),
        ("DE8AA001234567", "0"),
    ],
)
def test_a_contract_is_the_same_with_its_check_digit_and_without_and_none_with_another(
    contract: str, check: str
) -> None:
    """ISO 15118-2 annex H; the pairs are eMI3's own."""
    right = [each for each in CHARACTERS if keyed_ids.contract(contract + each) is not None]
    assert right == [check]
    assert keyed_ids.contract(contract + check) == keyed_ids.contract(contract) == contract


@pytest.mark.parametrize(
    ("instance", "check"),
    [("000071", "9"), ("000110", "X"), ("000124", "0"), ("000114", "6"), ("000191", "5")],
)
def test_a_contract_of_the_older_standard_has_its_check_digit(instance: str, check: str) -> None:
    """DIN SPEC 91286."""
    right = [each for each in CHARACTERS if keyed_ids.contract(f"IN*TNM*{instance}*{each}")]
    assert right == [check]
    assert keyed_ids.contract(f"INTNM{instance}") is None


@pytest.mark.parametrize(
    ("token", "code_class", "canonical"),
    [
        ("#1234", CodeClass.PIN, "#1234"),
        ("04:a2:b3:c4", CodeClass.UID, "04A2B3C4"),
        ("app:abcdefgh2345672a", CodeClass.APP, "APP:ABCDEFGH2345672A"),
        ("nl-tnm-c00122045-k", CodeClass.CONTRACT, "NLTNMC00122045"),
        ("NL*TNM*122045*0", CodeClass.CONTRACT, "NLTNM1220450"),
        ("DE-8AA-C12345678", CodeClass.UID, "DE8AAC12345678"),
        ("vid:A1-b2-C3-d4-E5-f6", CodeClass.OTHER, "A1B2C3D4E5F6"),
        ("a1b2c3d4e5f6", CodeClass.OTHER, "A1B2C3D4E5F6"),
        ("+47 912 34 567", CodeClass.OTHER, "+4791234567"),
        ("Tag-1", CodeClass.OTHER, "TAG-1"),
        ("VID:04A2B3C4", CodeClass.OTHER, "VID:04A2B3C4"),
        ("A1B2C3D4E5\ufb00", CodeClass.OTHER, "A1B2C3D4E5\ufb00"),
    ],
)
def test_what_is_presented_is_known_by_its_content_alone(
    token: str, code_class: CodeClass, canonical: str
) -> None:
    """R15; OCPP 1.6 announces no type."""
    assert classify(token) == (code_class, canonical)


@given(st.data(), st.one_of(UIDS, MACS, CONTRACTS, OLD_CONTRACTS, PHONES))
def test_every_spelling_of_a_code_is_the_same_code(data: st.DataObject, code: str) -> None:
    """R15."""
    expected = classify(code)
    assert classify(data.draw(spelled(code))) == expected
    assert classify(expected[1]) == expected


@given(st.data(), CONTRACTS)
def test_a_check_digit_makes_no_other_contract(data: st.DataObject, contract: str) -> None:
    [check] = [each for each in CHARACTERS if keyed_ids.contract(contract + each) == contract]
    assert classify(data.draw(spelled(contract + check))) == classify(contract)


@given(st.data(), MACS)
def test_a_prefix_makes_no_other_mac_address(data: st.DataObject, address: str) -> None:
    for prefix in ("VID:", "vid:"):
        assert classify(prefix + data.draw(spelled(address))) == (CodeClass.OTHER, address)


@given(st.text(max_size=30))
def test_only_what_has_no_form_of_its_own_is_in_the_class_of_all_others(token: str) -> None:
    code_class, canonical = classify(token)
    if code_class is CodeClass.OTHER:
        assert not keyed_ids.is_uid(keyed_ids.bare(token))
        assert canonical in (token.upper(), token, keyed_ids.bare(token))
    assert classify(canonical) == (code_class, canonical)


def test_a_truncating_reader_sees_an_alias_that_is_no_real_cards_keyed_id() -> None:
    """R15."""
    long, short = "04A2B3C4D5E6F7", "04A2B3C4"
    alias = KEYED.alias_of(CodeClass.UID, long)
    assert alias is not None
    assert alias == KEYED.alias_of_token("04:a2:b3:c4")
    assert alias == KEYED.alias_of(CodeClass.UID, short + "00112233445566")
    assert alias != KEYED.of(CodeClass.UID, short, "home")
    assert KEYED.alias_of(CodeClass.UID, short) is None
    assert KEYED.alias_of_token(long) is None
    for token in ("#1234", "NLTNMC00122045", "A1B2C3D4E5F6", "TAG-1"):
        assert KEYED.alias_of(*classify(token)) is None
        assert KEYED.alias_of_token(token) is None


@pytest.mark.parametrize(
    ("token", "announced"),
    [
        ("APP:SHORT", None),
        ("APP:ABCDEFGH2345670A", None),
        ("04A2B3C4", CodeClass.APP),
        ("NLTNMC00122045X", CodeClass.CONTRACT),
        ("04A2B3C4", CodeClass.CONTRACT),
    ],
)
def test_what_lacks_the_form_of_its_class_is_malformed(
    token: str, announced: CodeClass | None
) -> None:
    assert is_malformed(token, announced)


@pytest.mark.parametrize(
    ("token", "announced"),
    [
        ("app:abcdefgh2345672a", None),
        ("NL-TNM-C00122045-K", None),
        ("NL-TNM-C00122045-K", CodeClass.CONTRACT),
        ("DE-8AA-C12345678", CodeClass.CONTRACT),
        ("VID:A1B2C3D4E5F6", CodeClass.OTHER),
    ],
)
def test_what_has_it_is_not(token: str, announced: CodeClass | None) -> None:
    assert not is_malformed(token, announced)


NAMES = st.uuids().map(str)


@given(NAMES, NAMES, NAMES)
def test_a_group_is_known_to_chargers_by_a_token_that_says_nothing(
    group_id: str, user_id: str, other_id: str
) -> None:
    """R22, O26: an idTag of OCPP 1.6 that is nobody's code, the same for all of a group."""
    token = KEYED.group_token(group_id, user_id, "home")
    assert token is not None
    assert len(token) == 20
    assert classify(token) == (CodeClass.OTHER, token)
    assert KEYED.group_token(group_id, other_id, "home") == token
    assert KEYED.group_token(group_id, None, "home") == token
    others = (
        KEYED.group_token(None, user_id, "home"),
        KEYED.group_token(None, group_id, "home"),
        KEYED.group_token(group_id, user_id, "work"),
        KEYED.group_token(None, user_id, "work"),
        KeyedIds(b"another secret of sixteen").group_token(group_id, user_id, "home"),
    )
    assert len({token, *others}) == 6
    assert KEYED.group_token(None, None, "home") is None
