"""Sites and chargers as values: given these events, when this command, then those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import msgspec
import pytest

from chargekey_access.domain import charger, installation
from chargekey_access.domain.address import NOWHERE, Address, address
from chargekey_access.domain.charger import ReaderQuirks
from chargekey_access.domain.errors import (
    AddressMalformedError,
    ChangedMeanwhileError,
    ExternalNeedsOperatorError,
    OperatorConnectedAlreadyError,
    OperatorNotConnectedError,
    PinLengthMalformedError,
    ReaderPrefixMalformedError,
    ViewBoundMalformedError,
)
from chargekey_access.domain.events import (
    AuthenticationTypeSet,
    AuthorisationOverrideSet,
    AuthorisationRequiredSet,
    ChargerAdded,
    ChargerMoved,
    IdentificationTypesSet,
    InstallationAddressSet,
    InstallationCreated,
    InstallationRenamed,
    OperatorConnected,
    OperatorDisconnected,
    OverridesAllowedSet,
    PoliciesSet,
    ReaderQuirksSet,
)
from chargekey_access.domain.installation import Policies

CREATED = InstallationCreated(name="Home", time_zone="Europe/Oslo", authorisation_required=True)
OPENED = AuthorisationRequiredSet(authorisation_required=False)
CLOSED = AuthorisationRequiredSet(authorisation_required=True)
NATIVE = AuthenticationTypeSet(authentication_type="NATIVE")
EXTERNAL = AuthenticationTypeSet(authentication_type="EXTERNAL")
CONNECTED = OperatorConnected(partner_id="volt", overrides_allowed=False)
DISCONNECTED = OperatorDisconnected(partner_id="volt")
ALLOWED = OverridesAllowedSet(overrides_allowed=True)
ADDED = ChargerAdded(
    installation_id="i",
    ocpp_identity="CP-1",
    password_hash="h",
    authorisation_override="INHERIT",
    identification_types=("APP", "PIN", "RFID"),
)
OVERRIDDEN = AuthorisationOverrideSet(installation_id="i", authorisation_override="NOT_REQUIRED")


def state(evolve: Callable[[Any, Any], Any], *events: Any) -> Any:
    return reduce(evolve, events, None)


def site(*events: Any) -> Any:
    return state(installation.evolve, CREATED, *events)


def connect(given: Sequence[Any], **choices: Any) -> Sequence[Any]:
    chosen = {"authentication_type": "NATIVE", "overrides_allowed": False} | choices
    return installation.connect_operator(site(*given), partner_id="volt", **chosen)


def an_address(**choices: str) -> Address:
    given = {
        "address": "Storgata 1",
        "postal_code": "0155",
        "city": "Oslo",
        "country": "NOR",
        "latitude": "59.913868",
        "longitude": "10.752245",
    }
    return address(**given | choices)


def test_another_name_is_one_event() -> None:
    assert installation.rename(site(), "Work") == [InstallationRenamed(name="Work")]
    assert installation.rename(site(), "Home") == []


@pytest.mark.parametrize(
    ("latitude", "longitude", "kept"),
    [
        ("59.913868", "10.752245", ("59.913868", "10.752245")),
        ("-90", "+180", ("-90.000000", "180.000000")),
        (" 0.5 ", "-0.1234567", ("0.500000", "-0.123457")),
    ],
)
def test_where_a_site_is_is_one_event_in_ocpis_form(
    latitude: str, longitude: str, kept: tuple[str, str]
) -> None:
    """P20."""
    place = an_address(latitude=latitude, longitude=longitude, country="nor")
    assert (place.latitude, place.longitude, place.country) == (*kept, "NOR")
    told = InstallationAddressSet(**msgspec.structs.asdict(place))
    assert installation.set_address(site(), place) == [told]
    assert installation.set_address(site(told), place) == []
    assert site(told).address == place


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": ""},
        {"address": "x" * 46},
        {"address": "Under\nline"},
        {"city": " "},
        {"postal_code": "12345678901"},
        {"country": "NO"},
        {"country": "Norway"},
        {"latitude": ""},
        {"latitude": "90.1"},
        {"latitude": "1e1"},
        {"latitude": "nan"},
        {"longitude": "-180.000001"},
        {"longitude": "10,75"},
    ],
    ids=str,
)
def test_what_ocpi_could_not_tell_of_is_no_address(wrong: dict[str, str]) -> None:
    with pytest.raises(AddressMalformedError):
        an_address(**wrong)


def test_a_new_site_is_native_restricted_and_managed_by_nobody() -> None:
    """R3, S3-10, S3-11."""
    created = site()
    assert created.authentication_type == "NATIVE"
    assert created.authorisation_required
    assert created.managed_by is None


def test_external_without_an_operator_is_refused() -> None:
    """R3: nobody would answer."""
    with pytest.raises(ExternalNeedsOperatorError):
        installation.set_authentication_type(site(), "EXTERNAL")
    with pytest.raises(ExternalNeedsOperatorError):
        installation.set_authentication_type(site(CONNECTED, DISCONNECTED), "EXTERNAL")


def test_who_decides_is_one_event_where_it_changes_something() -> None:
    """R3, S3-33."""
    assert installation.set_authentication_type(site(CONNECTED), "EXTERNAL") == [EXTERNAL]
    assert installation.set_authentication_type(site(CONNECTED, EXTERNAL), "NATIVE") == [NATIVE]
    assert installation.set_authentication_type(site(), "NATIVE") == []


def test_connecting_says_who_decides_only_where_that_changes() -> None:
    """R2, R3."""
    assert connect([]) == [CONNECTED]
    assert connect([], authentication_type="EXTERNAL") == [CONNECTED, EXTERNAL]
    assert connect([DISCONNECTED], overrides_allowed=True) == [
        OperatorConnected(partner_id="volt", overrides_allowed=True)
    ]


def test_a_site_has_one_operator_at_a_time() -> None:
    """R3."""
    with pytest.raises(OperatorConnectedAlreadyError):
        connect([CONNECTED])


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ([CONNECTED], [DISCONNECTED]),
        ([OPENED, CONNECTED], [CLOSED, DISCONNECTED]),
        ([CONNECTED, EXTERNAL], [NATIVE, DISCONNECTED]),
        ([OPENED, CONNECTED, EXTERNAL], [CLOSED, NATIVE, DISCONNECTED]),
    ],
)
def test_a_site_without_its_operator_is_native_and_restricted(
    given: Sequence[Any], then: Sequence[Any]
) -> None:
    """R9: closed before anything else, for who reads the events one by one."""
    managed = site(*given)
    assert installation.disconnect_operator(managed) == then
    after = reduce(installation.evolve, then, managed)
    assert (after.authentication_type, after.authorisation_required) == ("NATIVE", True)
    assert after.managed_by is None
    assert after.overrides_count


def test_who_was_not_connected_cannot_be_disconnected_nor_allow_anything() -> None:
    for given in ([], [CONNECTED, DISCONNECTED]):
        with pytest.raises(OperatorNotConnectedError):
            installation.disconnect_operator(site(*given))
        with pytest.raises(OperatorNotConnectedError):
            installation.set_overrides_allowed(site(*given), allowed=True)


def test_allowing_overrides_is_one_event_where_it_changes_something() -> None:
    """R2."""
    assert installation.set_overrides_allowed(site(CONNECTED), allowed=True) == [ALLOWED]
    assert installation.set_overrides_allowed(site(CONNECTED, ALLOWED), allowed=True) == []


@pytest.mark.parametrize(
    ("given", "required", "suspended"),
    [
        ([], False, False),
        ([CONNECTED], True, True),
        ([CONNECTED, ALLOWED], False, False),
        ([CONNECTED, ALLOWED, OverridesAllowedSet(overrides_allowed=False)], True, True),
        ([CONNECTED, DISCONNECTED], False, False),
        ([CONNECTED, DISCONNECTED, CONNECTED], True, True),
    ],
)
def test_an_override_is_kept_while_it_is_suspended_and_counts_again(
    given: Sequence[Any], required: bool, suspended: bool
) -> None:
    """R2, R9: of a charger that was opened at a restricted site."""
    opened = state(charger.evolve, ADDED, OVERRIDDEN)
    assert opened.authorisation_required(site(*given)) == required
    assert opened.override_suspended(site(*given)) == suspended


def test_a_charger_that_inherits_has_nothing_to_suspend() -> None:
    inheriting = state(charger.evolve, ADDED)
    assert not inheriting.override_suspended(site(CONNECTED))


@pytest.mark.parametrize("opened", [[], [OPENED]])
@pytest.mark.parametrize("overridden", [[], [OVERRIDDEN]])
def test_nothing_is_open_where_an_operator_decides(
    opened: list[Any], overridden: list[Any]
) -> None:
    """R3: whatever is or is not presented, it is asked."""
    external = site(*opened, CONNECTED, ALLOWED, EXTERNAL)
    assert state(charger.evolve, ADDED, *overridden).authorisation_required(external)


def test_a_site_begins_with_the_policies_of_the_rules() -> None:
    """R12: blocking stops, revoking lets finish; silence and the unknown are refused."""
    assert site().policies == Policies(
        on_block="STOP",
        on_revoke="FINISH",
        on_operator_timeout="DENY",
        offline_unknown_ids=False,
        offline_pins=False,
        master_pass=False,
        view_bound_minutes=1440,
        on_view_behind="DENY",
        pin_length=4,
    )


def test_policies_are_replaced_in_one_event_where_one_changes() -> None:
    wanted = Policies(
        "FINISH",
        "STOP",
        "LAST_KNOWN",
        offline_unknown_ids=True,
        offline_pins=True,
        master_pass=True,
        view_bound_minutes=60,
        on_view_behind="LAST_KNOWN",
        pin_length=6,
    )
    [event] = installation.set_policies(site(), wanted)
    assert event == PoliciesSet(
        on_block="FINISH",
        on_revoke="STOP",
        on_operator_timeout="LAST_KNOWN",
        offline_unknown_ids=True,
        offline_pins=True,
        master_pass=True,
        view_bound_minutes=60,
        on_view_behind="LAST_KNOWN",
        pin_length=6,
    )
    assert site(event).policies == wanted
    assert installation.set_policies(site(event), wanted) == []


def test_policies_that_were_stored_before_there_were_some_have_these_defaults() -> None:
    """O46, O50: no master pass, and a view that is a day old counts no more."""
    before = msgspec.structs.asdict(PoliciesSet(**msgspec.structs.asdict(Policies())))
    for later in ("master_pass", "view_bound_minutes", "on_view_behind"):
        del before[later]
    assert site(msgspec.convert(before, PoliciesSet)).policies == Policies()


@pytest.mark.parametrize("length", [4, 8])
def test_a_site_may_want_longer_pins(length: int) -> None:
    """R13."""
    assert installation.set_policies(site(), Policies(on_block="FINISH", pin_length=length))


@pytest.mark.parametrize("length", [-1, 0, 3, 9, 2**31 - 1])
def test_a_length_that_no_pin_has_is_refused(length: int) -> None:
    """R13."""
    with pytest.raises(PinLengthMalformedError):
        installation.set_policies(site(), Policies(pin_length=length))


@pytest.mark.parametrize("minutes", [1, 7 * 24 * 60])
def test_a_site_says_how_far_behind_a_gateway_may_be(minutes: int) -> None:
    """O50."""
    assert installation.set_policies(site(), Policies(view_bound_minutes=minutes))


@pytest.mark.parametrize("minutes", [-1, 0, 7 * 24 * 60 + 1])
def test_less_than_a_gateway_can_tell_and_more_than_a_week_are_refused(minutes: int) -> None:
    """O50."""
    with pytest.raises(ViewBoundMalformedError):
        installation.set_policies(site(), Policies(view_bound_minutes=minutes))


def test_how_a_reader_deviates_is_one_event_with_the_new_whole() -> None:
    """R15."""
    added = state(charger.evolve, ADDED)
    wanted = ReaderQuirks(reversed=True, truncated=True, prefix="VID: ~")
    [event] = charger.set_reader_quirks(added, wanted)
    assert event == ReaderQuirksSet(
        installation_id="i", reversed=True, truncated=True, prefix="VID: ~"
    )
    after = charger.evolve(added, event)
    assert after.reader_quirks == wanted
    assert charger.set_reader_quirks(after, wanted) == []
    assert charger.set_reader_quirks(after, ReaderQuirks()) != []


@pytest.mark.parametrize("prefix", ["123456789", "\t", "a\n", "Ä", "\x7f", "\u200b"])
def test_a_prefix_that_no_reader_sends_is_refused(prefix: str) -> None:
    """R15."""
    with pytest.raises(ReaderPrefixMalformedError):
        charger.set_reader_quirks(state(charger.evolve, ADDED), ReaderQuirks(prefix=prefix))


def test_a_moved_charger_stands_elsewhere_and_inherits_there() -> None:
    """R11: what it accepts and how its reader deviates are its own."""
    quirks = ReaderQuirksSet(installation_id="i", reversed=True, truncated=False, prefix="")
    types = IdentificationTypesSet(installation_id="i", identification_types=("PIN",))
    before = state(charger.evolve, ADDED, OVERRIDDEN, quirks, types)
    [moved] = charger.move(before, "j")
    assert moved == ChargerMoved(from_installation_id="i", installation_id="j")
    after = charger.evolve(before, moved)
    assert after.installation_id == "j"
    assert after.authorisation_override == "INHERIT"
    assert after.identification_types == ("PIN",)
    assert after.reader_quirks.reversed
    assert charger.move(after, "j") == []


OSLO = address(
    address="Storgata 1",
    postal_code="0155",
    city="Oslo",
    country="NOR",
    latitude="59.913869",
    longitude="10.752245",
)
IN_PINS = IdentificationTypesSet(installation_id="i", identification_types=("PIN",))
REVERSED = ReaderQuirksSet(installation_id="i", reversed=True, truncated=False, prefix="")
AT_OSLO = InstallationAddressSet(**msgspec.structs.asdict(OSLO))
LONGER = PoliciesSet(**msgspec.structs.asdict(Policies(pin_length=6)))


@pytest.mark.parametrize(
    ("command", "meanwhile", "wanted", "instead_of"),
    [
        (installation.rename, InstallationRenamed(name="Work"), "Cabin", "Home"),
        (
            installation.set_address,
            AT_OSLO,
            msgspec.structs.replace(OSLO, city="Moss"),
            NOWHERE,
        ),
        (installation.set_policies, LONGER, Policies(on_block="FINISH"), Policies()),
        (charger.set_authorisation_override, OVERRIDDEN, "REQUIRED", "INHERIT"),
        (charger.set_identification_types, IN_PINS, ["RFID"], ["RFID", "PIN", "APP"]),
        (charger.set_reader_quirks, REVERSED, ReaderQuirks(prefix="0x"), ReaderQuirks()),
    ],
)
def test_what_was_seen_is_replaced_and_what_somebody_set_meanwhile_is_not(
    command: Callable[..., Any], meanwhile: Any, wanted: Any, instead_of: Any
) -> None:
    evolve, first = (
        (installation.evolve, CREATED)
        if command.__module__ == installation.__name__
        else (charger.evolve, ADDED)
    )
    seen, now = state(evolve, first), state(evolve, first, meanwhile)
    changed = command(seen, wanted, instead_of=instead_of)
    assert len(changed) == 1
    assert command(now, wanted) == changed
    with pytest.raises(ChangedMeanwhileError):
        command(now, wanted, instead_of=instead_of)
    # Who wants what somebody set meanwhile, or has it already, takes nothing away.
    assert command(state(evolve, first, *changed), wanted, instead_of=instead_of) == []


def test_a_charger_may_accept_all_six_types_and_none() -> None:
    """S0-2, S0-8, R19: what is switched off is one command away from being on again."""
    every = ["RFID", "PIN", "APP", "VEHICLE_ID", "SMS", "CREDIT_CARD"]
    before = state(charger.evolve, ADDED)
    for types in (every, [], every):
        [event] = charger.set_identification_types(before, types)  # type: ignore[arg-type] # they are
        before = charger.evolve(before, event)
        assert set(before.identification_types) == set(types)
