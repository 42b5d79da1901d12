"""Partners, lookup keys and requests for access: given these events, when this, then those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_access.domain import access_request, lookup_key, partner
from chargekey_access.domain.access_request import LIFETIME
from chargekey_access.domain.errors import (
    AccessRequestAnsweredError,
    AccessRequestExpiredError,
    AccessRequestUnknownError,
    ContactMalformedError,
    LogoUrlMalformedError,
    LookupKeyMalformedError,
    PartnerMemberUnknownError,
    PartnerUnknownError,
    RolesNotAskedError,
)
from chargekey_access.domain.events import (
    AccessRequestDenied,
    AccessRequested,
    AccessRequestWithdrawn,
    LookupKeyFreed,
    LookupKeyTaken,
    PartnerChanged,
    PartnerCreated,
    PartnerMemberAdded,
    PartnerMemberRemoved,
    Role,
)
from chargekey_access.domain.links import Links
from chargekey_access.domain.permission import Subject

VOLT = PartnerCreated(
    name="Volt", kind="SERVICE_PARTNER", lookup_key="K7VN", contact="help@volt.example", logo_url=""
)
ADA = PartnerMemberAdded(user_id="ada", manages=True)


def state(evolve: Callable[[Any, Any], Any], *events: Any) -> Any:
    return reduce(evolve, events, None)


def test_a_change_is_one_event_with_the_new_whole_and_none_where_nothing_changes() -> None:
    volt = state(partner.evolve, VOLT)
    assert partner.change(volt, name="Watt", contact=None, logo_url=None) == [
        PartnerChanged(name="Watt", contact="help@volt.example", logo_url="")
    ]
    assert partner.change(volt, name="Volt", contact=None, logo_url="") == []


def test_adding_a_member_again_changes_only_whether_he_manages() -> None:
    volt = state(partner.evolve, VOLT, ADA)
    assert partner.add_member(volt, user_id="ada", manages=True, invited=True) == []
    assert partner.add_member(volt, user_id="ada", manages=False) == [
        PartnerMemberAdded(user_id="ada", manages=False)
    ]


def test_the_last_who_manages_a_partner_may_leave_too() -> None:
    """Unlike a site it can do without: administrators help."""
    volt = state(partner.evolve, VOLT, ADA)
    [left] = partner.remove_member(volt, "ada")
    assert left == PartnerMemberRemoved(user_id="ada")
    with pytest.raises(PartnerMemberUnknownError):
        partner.remove_member(partner.evolve(volt, left), "ada")


def test_nothing_can_be_done_to_a_partner_that_is_none() -> None:
    for command in (
        lambda: partner.change(None, name="x", contact=None, logo_url=None),
        lambda: partner.rotate_lookup_key(None, "K7VN"),
        lambda: partner.add_member(None, user_id="ada", manages=True),
        lambda: partner.remove_member(None, "ada"),
    ):
        with pytest.raises(PartnerUnknownError):
            command()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://volt.example/logo.svg",
        "https://VOLT.example:8443/a/b?c=%20&d=1",
        "https://volt.example",
    ],
)
def test_a_logo_is_fetched_over_tls(url: str) -> None:
    assert partner.logo_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://volt.example/logo.svg",
        "//volt.example/logo.svg",
        "javascript:alert(1)",
        "data:image/svg+xml,<svg/>",
        "https://",
        "https:///logo.svg",
        "https://volt.example@evil.example/x",
        "https://user:secret@volt.example/",
        "https://volt.example/a b",
        'https://volt.example/"onload="x',
        "https://volt.example/'",
        "https://volt.example\\@evil.example",
        " https://volt.example",
        "https://volt.example/\n",
        "https://völt.example/",
        "https://volt.example:99999999/",
        "https://volt.example/" + "x" * 500,
    ],
)
def test_an_address_that_is_no_logos_is_refused(url: str) -> None:
    with pytest.raises(LogoUrlMalformedError):
        partner.logo_url(url)


def test_a_contact_can_be_read() -> None:
    assert partner.contact("  +47 22 00 00 00, help@volt.example ") == (
        "+47 22 00 00 00, help@volt.example"
    )
    for unreadable in ("", "  ", "a\nb", "x" * 201, "\u202etxet"):
        with pytest.raises(ContactMalformedError):
            partner.contact(unreadable)


@given(st.text(alphabet="abcxyzABCXYZ0189", min_size=4, max_size=4))
def test_a_lookup_key_is_the_same_in_either_case(text: str) -> None:
    """S3-44."""
    canonical = lookup_key.canonical(text)
    assert canonical == lookup_key.canonical(text.lower()) == lookup_key.canonical(text.upper())
    assert lookup_key.reservation_id(canonical) == lookup_key.reservation_id(text.upper())


@pytest.mark.parametrize(
    "text", ["", "K7V", "K7VNX", "K7 V", "K-VN", "K7VN\n", "ßAB", "\u0131ABC", "K7V\u0130", "٤٤٤٤"]
)
def test_a_key_is_four_letters_or_digits_and_nothing_that_becomes_one(text: str) -> None:
    with pytest.raises(LookupKeyMalformedError):
        lookup_key.canonical(text)


def test_a_drawn_key_is_well_formed_and_easily_read_out() -> None:
    """S3-44."""
    for _ in range(500):
        drawn = lookup_key.drawn()
        assert lookup_key.canonical(drawn) == drawn
        assert not set(drawn) & set("O0I1")


def test_a_key_is_free_until_it_is_taken_and_when_it_was_freed() -> None:
    taken, freed = LookupKeyTaken(partner_id="volt"), LookupKeyFreed(partner_id="volt")
    assert lookup_key.is_free(None)
    assert not lookup_key.is_free(state(lookup_key.evolve, taken))
    assert lookup_key.is_free(state(lookup_key.evolve, taken, freed))


ASKED_AT = 1_700_000_000 * 10**9


def asked(installation_id: str | None = "site", *roles: Role) -> AccessRequested:
    [event] = access_request.ask(
        Subject(partner_id="volt"),
        installation_id=installation_id,
        roles=roles or ("SERVICE", "USER"),
        now=ASKED_AT,
    )
    assert isinstance(event, AccessRequested)
    return event


def test_a_request_waits_for_14_days_and_no_longer() -> None:
    """R8."""
    request = state(access_request.evolve, asked())
    end = ASKED_AT + 14 * 24 * 3600 * 10**9
    assert request.expires_at == end
    assert request.state(now=end - 1) == "WAITING"
    assert request.state(now=end) == "EXPIRED"
    with pytest.raises(AccessRequestExpiredError):
        access_request.deny(request, installation_id="site", now=end)
    with pytest.raises(AccessRequestExpiredError):
        access_request.withdraw(request, now=end)


ANSWERS: Sequence[tuple[Any, str]] = [
    (access_request.approve(installation_id="site", permission_id="p"), "APPROVED"),
    ([AccessRequestDenied(installation_id="site")], "DENIED"),
    ([AccessRequestWithdrawn()], "WITHDRAWN"),
]


@pytest.mark.parametrize(("events", "told"), ANSWERS)
def test_a_request_is_answered_once(events: Any, told: str) -> None:
    request = state(access_request.evolve, asked(), *events)
    for now in (ASKED_AT, ASKED_AT + LIFETIME):
        assert request.state(now=now) == told
        with pytest.raises(AccessRequestAnsweredError):
            access_request.deny(request, installation_id="site", now=now)
        with pytest.raises(AccessRequestAnsweredError):
            access_request.withdraw(request, now=now)


def test_no_more_is_granted_than_was_asked_for() -> None:
    """S3-48."""
    request = state(access_request.evolve, asked())
    assert set(access_request.granted(request, ())) == {"SERVICE", "USER"}
    assert set(access_request.granted(request, ["USER"])) == {"USER"}
    with pytest.raises(RolesNotAskedError):
        access_request.granted(request, ["USER", "OWNER"])


def test_a_request_is_answered_by_the_site_it_was_made_of_or_by_who_was_sent_its_link() -> None:
    """R8."""
    here, anywhere = (state(access_request.evolve, asked(where)) for where in ("site", None))
    assert access_request.asked_there(here, "site", by_link=False) == here
    assert access_request.asked_there(here, "site", by_link=True) == here
    assert access_request.asked_there(anywhere, "site", by_link=True) == anywhere
    for request, by_link in ((here, True), (here, False), (anywhere, False), (None, True)):
        with pytest.raises(AccessRequestUnknownError):
            access_request.asked_there(request, "elsewhere", by_link=by_link)


ID = "5f0c3a5e-3a42-4b57-9f1d-0a4d6d7f7a11"


def test_a_link_names_its_request_and_cannot_be_made_up() -> None:
    links = Links(b"a secret of at least sixteen bytes")
    token = links.token(ID)
    assert links.access_request_id(token) == ID
    assert links.token(ID) == token
    others = Links(b"another secret of sixteen bytes!!")
    last = "A" if token[-1] != "A" else "B"
    for wrong in (
        "",
        "====",
        "é",
        token[:-4],
        token[:-1] + last,
        token + "AAAA",
        "A" * len(token),
        others.token(ID),
        ID,
    ):
        with pytest.raises(AccessRequestUnknownError):
            links.access_request_id(wrong)
