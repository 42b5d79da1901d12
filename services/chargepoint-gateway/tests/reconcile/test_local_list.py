"""Who belongs into a charger's own list, and how it gets there: values alone."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.keyed_ids import classify
from chargekey_common.published import access, identity
from chargekey_gateway.decision import Status
from chargekey_gateway.lookup import undone
from chargekey_gateway.reconcile import local_list
from chargekey_gateway.reconcile.lists import Lists, Wanted
from chargekey_gateway.reconcile.local_list import Update, Wish
from chargekey_gateway.view.entries import Quirks

from .conftest import ADA, BOB, KEYED_IDS, Site

LONG_CARD = "04A1B2C3D4E5F6"
SAME_BEGINNING = "04A1B2C3000000"


def lists_of(site: Site) -> Lists:
    return Lists(site.view, site.seen, KEYED_IDS.group_token)


def wanted(site: Site, charger: str = "first", capacity: int | None = None) -> Wanted:
    lists = lists_of(site)
    return lists.wanted(site.charger(charger), capacity, site.at)


def statuses(site: Site, charger: str = "first") -> dict[str, str]:
    return {key: wish.status for key, wish in wanted(site, charger).entries.items()}


def test_who_may_charge_there_is_in_the_list_until_he_may_not_and_with_his_group() -> None:
    """O26."""
    site = Site()
    ada = site.add(ADA, "ada", valid_until=9_000, group_id="family")
    site.grant("ada", valid_until=8_000)
    bob = site.resident("bob", BOB)
    entries = wanted(site).entries
    assert set(entries) == {ada, bob}
    assert (entries[ada].status, entries[ada].expires) == (Status.ACCEPTED, 8_000)
    assert entries[ada].group == site_group("family", "ada")
    assert (entries[bob].expires, entries[bob].group) == (None, site_group(None, "bob"))


def test_a_list_stays_as_it_is_where_the_view_is_behind() -> None:
    """O50: an offline charger would refuse everybody for good, and may go by what it has."""
    site = Site()
    site.resident("bob", BOB)
    before = wanted(site)
    assert before.entries
    site.view.set_staleness(8 * 24 * 3600)
    assert site.view.is_behind(site.charger())
    assert wanted(site) == before


def site_group(group_id: str | None, user_id: str) -> str | None:
    return KEYED_IDS.group_token(group_id, user_id, "site")


def test_who_must_be_refused_is_in_the_list_with_what_the_decision_says() -> None:
    """R12, R18: a list beats the cache."""
    site = Site()
    blocked, expired, inactive, lost = (
        site.resident(user, f"04A1B2C{number}")
        for number, user in enumerate(("ada", "bob", "cleo", "dan"))
    )
    departed = site.resident("eve", "04A1B2CE")
    over = site.add("04A1B2CF", "finn")
    site.grant("finn", valid_until=500)
    site.block("ada")
    site.tell(
        identity.IdentificationExpiryChanged(
            identification_id=expired, user_id="bob", valid_until=1_000
        ),
        identity.IdentificationStatusChanged(
            identification_id=inactive, user_id="cleo", status="INACTIVE"
        ),
        identity.IdentificationStatusChanged(
            identification_id=lost, user_id="dan", status="BLOCKED"
        ),
    )
    site.revoke("eve")
    assert statuses(site) == {
        blocked: "Blocked",
        lost: "Blocked",
        expired: "Expired",
        inactive: "Invalid",
        departed: "Invalid",
        over: "Invalid",
    }
    # Nothing that is refused may stop a session of its group.
    assert {wish.group for wish in wanted(site).entries.values()} == {None}


def test_who_must_be_refused_comes_first_where_not_all_fit() -> None:
    """O30."""
    site = Site()
    keys = [site.resident(f"user-{number}", f"04A1B2C{number}") for number in range(6)]
    site.tell(
        identity.IdentificationStatusChanged(
            identification_id=keys[4], user_id="user-4", status="INACTIVE"
        )
    )
    site.block("user-5")
    assert list(wanted(site, capacity=1).entries) == [keys[5]]
    assert list(wanted(site, capacity=3).entries) == [keys[5], keys[4], keys[0]]
    assert wanted(site, capacity=3).belonging == 6


def test_pins_are_in_the_list_only_where_the_site_wants_them_there_and_apps_never() -> None:
    site = Site()
    site.resident("ada", "#2468")
    site.add("APP:ABCDEFGHIJKLMNOP", "ada", type="APP")
    assert statuses(site) == {}
    site.policies(offline_pins=True)
    assert statuses(site) == {"ada-2468": "Accepted"}
    site.types("RFID", "APP")
    assert statuses(site) == {}


def test_a_pin_of_another_site_is_in_no_list() -> None:
    site = Site()
    site.policies(offline_pins=True)
    site.resident("ada", "#2468", installation_id="another")
    assert statuses(site) == {}


@pytest.mark.parametrize(
    "event",
    [
        access.AuthorisationRequiredSet(installation_id="site", authorisation_required=False),
        access.AuthenticationTypeSet(installation_id="site", authentication_type="EXTERNAL"),
        access.AuthorisationOverrideSet(
            charger_id="first", installation_id="site", authorisation_override="NOT_REQUIRED"
        ),
    ],
)
def test_open_and_external_chargers_have_empty_lists(
    event: access.AuthorisationRequiredSet,
) -> None:
    """S3-10."""
    site = Site()
    site.resident("ada", ADA)
    site.tell(event)
    assert wanted(site).entries == {}


def test_a_permission_on_one_charger_is_in_the_list_of_that_charger_alone() -> None:
    """R4."""
    site = Site("first", "second")
    ada = site.add(ADA, "ada")
    site.grant("ada", charger="second")
    assert statuses(site, "second") == {ada: "Accepted"}
    assert statuses(site) == {}
    site.grant("ada", valid_until=5_000)
    assert wanted(site).entries[ada].expires == 5_000
    assert wanted(site, "second").entries[ada].expires is None


def test_what_a_partner_holds_is_in_the_list_for_its_members() -> None:
    """R8."""
    site = Site()
    ada = site.add(ADA, "ada")
    site.tell(
        access.PermissionGranted(
            installation_id="site", permission_id="p", partner_id="fleet", roles=("USER",)
        ),
        access.PartnerMemberAdded(partner_id="fleet", user_id="ada"),
    )
    assert statuses(site) == {ada: "Accepted"}
    site.tell(access.PartnerMemberRemoved(partner_id="fleet", user_id="ada"))
    assert statuses(site) == {ada: "Invalid"}


def test_whose_key_is_not_known_is_not_in_the_list() -> None:
    site = Site()
    site.grant("ada")
    site.tell(
        identity.IdentificationAdded(
            identification_id="card", user_id="ada", type="RFID", status="ACTIVE"
        )
    )
    assert statuses(site) == {}


def test_a_list_is_shared_by_the_chargers_of_a_site_that_take_the_same_types() -> None:
    site = Site("first", "second", "third")
    site.resident("ada", ADA)
    site.types("PIN", charger="third")
    lists = lists_of(site)
    first, second, third = (
        lists.wanted(site.charger(each), None, site.at) for each in ("first", "second", "third")
    )
    assert first is second
    assert third.entries == {}


def test_a_shared_list_is_made_anew_when_something_in_it_ends() -> None:
    """R10, R18."""
    site = Site()
    ada = site.add(ADA, "ada")
    site.grant("ada", valid_until=5_000)
    lists = lists_of(site)
    before = lists.wanted(site.charger(), None, 4_999)
    assert (before.entries[ada].status, before.ends) == (Status.ACCEPTED, 5_000)
    assert lists.wanted(site.charger(), None, 5_000).entries[ada].status is Status.INVALID


def test_what_takes_something_from_somebody_is_asked_for_every_charger_and_every_change() -> None:
    """R12."""
    site = Site()
    ada = site.resident("ada", ADA)
    lists = lists_of(site)
    before = lists.wanted(site.charger(), None, site.at)
    assert not lists.takes(before, {})
    assert lists.takes(before, None)
    assert not lists.takes(before, {ada: before.entries[ada].mark})
    site.block("ada")
    lists.forget_user("ada", ["site"])
    after = lists.wanted(site.charger(), None, site.at)
    assert lists.takes(after, {ada: before.entries[ada].mark})
    assert lists.takes(after, {})
    assert not lists.takes(before, {})


def test_two_cards_that_are_one_at_a_truncating_reader_are_in_no_list_there() -> None:
    """R15."""
    site = Site("first", "second")
    ada = site.resident("ada", LONG_CARD)
    site.quirks(truncated=True)
    assert set(statuses(site)) == {ada}
    other = site.add(SAME_BEGINNING, "stranger")
    assert statuses(site) == {}
    assert set(statuses(site, "second")) == {ada}
    site.remove("stranger", other)
    assert set(statuses(site)) == {ada}


def test_another_short_card_is_another_list_at_a_truncating_reader_only() -> None:
    """R15: which of the long ones it makes ambiguous, its code alone tells."""
    site = Site("first", "second")
    site.resident("ada", LONG_CARD)
    site.quirks(truncated=True)
    before = wanted(site).digest, wanted(site, "second").digest
    short = site.add(LONG_CARD[:8], "stranger")
    assert wanted(site).digest != before[0]
    assert wanted(site, "second").digest == before[1]
    site.remove("stranger", short)
    assert (wanted(site).digest, wanted(site, "second").digest) == before


@given(
    st.sampled_from([8, 14, 20]).flatmap(
        lambda digits: st.text("0123456789ABCDEF", min_size=digits, max_size=digits)
    ),
    st.builds(
        Quirks,
        reversed=st.booleans(),
        truncated=st.just(value=False),
        prefix=st.sampled_from(["", "VID", "x"]),
    ),
)
def test_a_card_as_its_reader_sends_it_is_that_card_again(number: str, quirks: Quirks) -> None:
    """R15, O17."""
    sent = local_list.as_read(quirks, number.lower())
    assert sent == sent.upper()
    assert undone(quirks, sent) == number


@pytest.mark.parametrize(
    ("quirks", "code", "sent"),
    [
        (None, "04a1b2c3", "04A1B2C3"),
        (Quirks(reversed=True, truncated=False, prefix=""), "04A1B2C3", "C3B2A104"),
        (Quirks(reversed=False, truncated=True, prefix=""), LONG_CARD, "04A1B2C3"),
        (Quirks(reversed=True, truncated=True, prefix="x"), LONG_CARD, "XC3B2A104"),
        (Quirks(reversed=True, truncated=True, prefix="x"), "#2468", "#2468"),
    ],
)
def test_codes_are_listed_as_the_reader_sends_them(
    quirks: Quirks | None, code: str, sent: str
) -> None:
    """O17, R15."""
    assert local_list.as_read(quirks, code) == sent
    assert classify(sent)[1] == sent or sent.startswith("X")


def wish(key: str, status: Status = Status.ACCEPTED, mark: str = "1") -> Wish:
    return Wish(key, f"user-{key}", "RFID", status, None, None, f"key-{key}", f"key-{key} {mark}")


def several(*wishes: Wish) -> dict[str, Wish]:
    return {each.identification_id: each for each in wishes}


def known(*wishes: Wish) -> dict[str, str]:
    return {each.identification_id: each.mark for each in wishes}


A, B, C = wish("a"), wish("b"), wish("c")
BLOCKED = wish("z", Status.BLOCKED)


def everything(_: str) -> bool:
    return True


def nothing(_: str) -> bool:
    return False


def test_an_update_is_what_differs() -> None:
    """O28."""
    wanted = several(A, B, C)
    assert local_list.update(wanted, known(A, B), everything) == Update(full=False, put=[C])
    later = wish("b", mark="2")
    assert local_list.update(several(A, later), known(A, B), everything) == Update(
        full=False, put=[later]
    )
    assert local_list.update(several(A, B), known(A, B, C), everything) == Update(
        full=False, put=[], removed=("c",)
    )


def test_everything_is_sent_where_what_is_there_is_unknown_or_cannot_be_named() -> None:
    """O29."""
    assert local_list.update(several(BLOCKED, A), None, everything) == Update(
        full=True, put=[BLOCKED, A]
    )
    assert local_list.update(several(A, B), known(A, B, C), nothing).full
    recoded = msgspec.structs.replace(B, key="other", mark="other 1")
    assert local_list.update(several(A, recoded), known(A, B), everything).full
    # Nor where it is longer than what replaces it.
    assert local_list.update({}, known(A, B), everything) == Update(full=True, put=[])


def test_only_an_update_that_takes_nothing_from_anybody_may_wait() -> None:
    assert not local_list.takes(Update(full=False, put=[A]), known(B))
    assert not local_list.takes(Update(full=True, put=[A]), {})
    assert local_list.takes(Update(full=False, put=[A, BLOCKED]), known(B))
    assert local_list.takes(Update(full=False, put=[], removed=["a"]), known(A))
    assert local_list.takes(Update(full=True, put=[A]), known(A))
    assert local_list.takes(Update(full=True, put=[A]), None)


CODES = [f"04A1B2{number:02X}" for number in range(4)] + [f"04A1B2{n:02X}99887F" for n in range(4)]
PEOPLE = ("ada", "bob", "cleo")


@given(st.data())
def test_every_status_in_a_list_is_the_decision_on_presenting_that_card_there(  # noqa: C901 - a site has many sides
    data: st.DataObject,
) -> None:
    """O43: so the list of a charger and its gateway cannot disagree."""
    site = Site("first", "second")
    site.policies(offline_pins=data.draw(st.booleans()))
    for code in data.draw(st.lists(st.sampled_from([*CODES, "#2468"]), unique=True)):
        site.add(
            code,
            data.draw(st.sampled_from(PEOPLE)),
            status=data.draw(st.sampled_from(["ACTIVE", "ACTIVE", "INACTIVE", "BLOCKED"])),
            valid_until=data.draw(st.sampled_from([None, None, 500, 90_000])),
        )
    for user in PEOPLE:
        for charger in data.draw(st.sets(st.sampled_from([None, "first", "second"]))):
            ends = data.draw(st.sampled_from([None, 500, 90_000]))
            site.grant(user, charger=charger, valid_until=ends)
            if data.draw(st.integers(0, 3)) == 0:
                site.revoke(user, charger=charger)
        if data.draw(st.integers(0, 3)) == 0:
            site.block(user)
        if data.draw(st.integers(0, 5)) == 0:
            site.tell(identity.PendingUserAdded(user_id=user))
    if data.draw(st.booleans()):
        site.types(*data.draw(st.sets(st.sampled_from(["RFID", "PIN"]))))
    site.quirks(
        reversed=data.draw(st.booleans()),
        truncated=data.draw(st.booleans()),
        prefix=data.draw(st.sampled_from(["", "P"])),
    )
    for charger in ("first", "second"):
        here = site.charger(charger)
        for key, entry in wanted(site, charger).entries.items():
            sent = local_list.as_read(here.quirks, site.readable[key])
            presented = site.look_up(here, sent)
            if presented.ambiguous:  # as another card of four bytes may make it: see the sender
                assert local_list.truncates(here)
                continue
            decision = site.decision(sent, charger)
            assert (decision.status, decision.valid_until) == (entry.status, entry.expires)
            assert decision.identification_id == key
        # And nobody is missing whom the charger would accept.
        listed = set(wanted(site, charger).entries)
        types = local_list.listed_types(here)
        for key, code in site.readable.items():
            known = site.view.identification_by_id(key)
            sent = local_list.as_read(here.quirks, code)
            if known is not None and known.type in types and site.decision(sent, charger).accepted:
                assert key in listed
