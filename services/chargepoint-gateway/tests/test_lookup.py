"""Strange card readers: the card that is there is found, or nobody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_common.published import access, identity
from chargekey_gateway.decision import decided
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.lookup import Lookup, undone
from chargekey_gateway.view.entries import Charger, Quirks
from chargekey_gateway.view.view import View

KEYED_IDS = KeyedIds(b"a secret of 24 bytes, so")
LONG, SHORT = "04A1B2C3D4E5F6", "04A1B2C3"
SAME_BEGINNING = "04A1B2C3FFEEDD"
PIN = "#2468"


class Reader:
    """A charger with a reader, and cards that people have."""

    def __init__(self) -> None:
        self.view = View()
        self._look_up = Lookup(self.view, KEYED_IDS)
        for site in ("site", "another"):
            self.view.apply(
                access.ChargerAdded(
                    charger_id=f"charger-{site}",
                    installation_id=site,
                    ocpp_identity=site,
                    authorisation_override="INHERIT",
                    identification_types=("RFID", "PIN"),
                )
            )

    def charger(self, site: str = "site") -> Charger:
        charger = self.view.charger(f"charger-{site}")
        assert charger is not None
        return charger

    def quirks(self, *, back: bool = False, cut: bool = False, prefix: str = "") -> None:
        self.view.apply(
            access.ReaderQuirksSet(
                charger_id="charger-site",
                installation_id="site",
                reversed=back,
                truncated=cut,
                prefix=prefix,
            )
        )

    def add(self, name: str, code: str, site: str | None = None) -> None:
        code_class, canonical = classify(code)
        alias = KEYED_IDS.alias_of(code_class, canonical)
        self.view.apply(
            identity.IdentificationKey(
                identification_id=name,
                keyed_id=KEYED_IDS.of(code_class, canonical, site or "site").hex(),
                alias="" if alias is None else alias.hex(),
            )
        )
        self.view.apply(
            identity.IdentificationAdded(
                identification_id=name,
                user_id="ada",
                type="PIN" if code.startswith("#") else "RFID",
                status="ACTIVE",
                installation_id=site,
            )
        )

    def present(self, token: str, site: str = "site") -> Presented:
        return self._look_up(self.charger(site), token)

    def found(self, token: str, site: str = "site") -> str | None:
        known = self.present(token, site).identification
        return None if known is None else known.id

    def reason(self, token: str) -> str:
        inputs = gather(self.charger(), self.present(token), at=0, positions=())
        return decided(inputs).reason


@pytest.fixture
def reader() -> Reader:
    reader = Reader()
    reader.add("card", LONG)
    return reader


def test_a_reader_that_reverses_bytes(reader: Reader) -> None:
    """R15."""
    assert reader.found("F6E5D4C3B2A104") is None
    reader.quirks(back=True)
    assert reader.found("F6E5D4C3B2A104") == "card"
    assert reader.found("f6:e5:d4:c3:b2:a1:04") == "card"
    assert reader.found(LONG) is None
    reader.quirks()
    assert reader.found(LONG) == "card"


def test_a_reader_that_puts_something_before_the_number(reader: Reader) -> None:
    """R15."""
    reader.quirks(prefix="MF-")
    assert reader.found(f"mf-{LONG}") == "card"
    assert reader.found(LONG) == "card"  # not by the reader: from a remote start, say


def test_a_prefix_that_could_be_part_of_a_number_is_taken_off_once(reader: Reader) -> None:
    reader.quirks(prefix="04")
    assert reader.found(f"04{LONG}") == "card"
    assert reader.found(f"0404{LONG}") is None


def test_a_reader_that_leaves_four_bytes(reader: Reader) -> None:
    """R15: the alias finds the card; at other chargers four bytes are a card of their own."""
    assert reader.found(SHORT) is None
    reader.quirks(cut=True)
    assert reader.found(SHORT) == "card"
    assert reader.found(LONG) == "card"
    assert reader.found(SHORT, "another") is None


def test_all_quirks_together(reader: Reader) -> None:
    """R15."""
    reader.quirks(back=True, cut=True, prefix="UID=")
    assert reader.found("UID=C3B2A104") == "card"


@pytest.mark.parametrize("other", [SAME_BEGINNING, SHORT])
def test_what_several_cards_are_cut_to_is_denied(reader: Reader, other: str) -> None:
    """R15: also where one of them really has four bytes."""
    reader.quirks(cut=True)
    reader.add("other", other)
    assert reader.reason(SHORT) == "identification_ambiguous"
    assert reader.reason(LONG) == "no_permission"  # whole numbers are nobody else's
    reader.view.apply(identity.IdentificationRemoved(identification_id="other", user_id="ada"))
    assert reader.found(SHORT) == "card"


def test_a_card_that_works_elsewhere_only_makes_it_ambiguous_too(reader: Reader) -> None:
    """R15: it may be that one which was presented."""
    reader.quirks(cut=True)
    reader.add("other", SAME_BEGINNING, site="another")
    assert reader.reason(SHORT) == "identification_ambiguous"


def test_pins_are_typed_and_not_read(reader: Reader) -> None:
    reader.add("pin", PIN, site="site")
    reader.quirks(back=True, cut=True, prefix="#")
    assert reader.found(PIN) == "pin"


def test_what_was_presented_shows_nowhere(reader: Reader) -> None:
    """R17."""
    assert LONG not in repr(reader.present(LONG))


@pytest.mark.parametrize("quirky", [False, True])
def test_an_identification_of_one_site_is_unknown_elsewhere(reader: Reader, quirky: bool) -> None:
    """Of any type; the same as one that is nobody's."""
    reader.quirks(cut=quirky)
    reader.add("scoped", "0BADCAFE", site="site")
    reader.add("foreign", "0BADCAFF", site="another")
    assert reader.found("0BADCAFE") == "scoped"
    assert reader.found("0BADCAFE", "another") is None
    assert reader.reason("0BADCAFF") == "identification_unknown"


def test_the_installation_of_a_moved_charger_counts_at_once(reader: Reader) -> None:
    """R11, R13."""
    reader.add("pin", PIN, site="another")
    assert reader.found(PIN) is None
    reader.view.apply(
        access.ChargerMoved(
            charger_id="charger-site", installation_id="another", from_installation_id="site"
        )
    )
    assert reader.found(PIN) == "pin"


@given(
    number=st.sampled_from((4, 7, 10)).flatmap(
        lambda size: st.binary(min_size=size, max_size=size)
    ),
    back=st.booleans(),
    prefix=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    lower=st.booleans(),
)
def test_whatever_a_reader_makes_of_a_whole_number_is_undone(
    number: bytes, back: bool, prefix: str, lower: bool
) -> None:
    """R15."""
    read = (number[::-1] if back else number).hex()
    sent = prefix + (read if lower else read.upper())
    if not sent.startswith("#"):
        quirks = Quirks(reversed=back, truncated=False, prefix=prefix)
        assert undone(quirks, sent) == number.hex().upper()
