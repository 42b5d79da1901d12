"""Sites as OCPI tells them: given these events, then this Location and these pushes."""

from __future__ import annotations

from functools import reduce

import msgspec
import pytest

from chargekey_common.evses import charger_of, evse_uid
from chargekey_common.published import feed
from chargekey_notifier.ocpi import locations
from chargekey_notifier.ocpi.evses import evse_id
from chargekey_notifier.ocpi.locations import EvseChange, Location, Push, Site

from .given import (
    CHARGER,
    EVSE_1,
    EVSE_2,
    MINUTE,
    NOON,
    OTHER_SITE,
    PLACE,
    SITE,
    US,
    added,
    as_sent,
    begun,
    ended,
    offline,
    online,
    state,
)


def sites(*events: feed.FeedEvent) -> dict[str, Site]:
    """Return the sites after these events, of which each comes a minute after the one before."""

    def then(before: dict[str, Site], event: tuple[int, feed.FeedEvent]) -> dict[str, Site]:
        number, fact = event
        changed = locations.after(before, fact, NOON + number * MINUTE)
        return before | {each.id: each for each in changed}

    return reduce(then, enumerate(events), {})


def statuses(site: Site) -> dict[str, str]:
    return {uid: seen.status for uid, seen in site.evses.items()}


def told(*events: feed.FeedEvent) -> Location:
    site = msgspec.structs.replace(sites(*events)[SITE], place=PLACE)
    return locations.location(site, party=US, changed_at=NOON)


def test_a_site_is_told_in_the_standards_form() -> None:
    """P21."""
    found = as_sent(told(begun(), added(), online(), state("Available")))
    connector = {
        "id": "1",
        "standard": "IEC_62196_T2",
        "format": "SOCKET",
        "power_type": "AC_3_PHASE",
        "max_voltage": 230,
        "max_amperage": 32,
        "last_updated": "2026-03-03T12:03:00.000Z",
    }
    evse = {
        "uid": EVSE_1,
        "evse_id": "NO*CKY*E71AA0C441D5E4A0B9D3E6B8F*1",
        "status": "AVAILABLE",
        "capabilities": ["REMOTE_START_STOP_CAPABLE", "RFID_READER", "UNLOCK_CAPABLE"],
        "connectors": [connector],
        "last_updated": "2026-03-03T12:03:00.000Z",
    }
    assert found == {
        "country_code": "NO",
        "party_id": "CKY",
        "id": SITE,
        "publish": False,
        "address": "Storgata 1",
        "city": "Oslo",
        "postal_code": "0155",
        "country": "NOR",
        "coordinates": {"latitude": "59.913868", "longitude": "10.752245"},
        "evses": [evse],
        "time_zone": "Europe/Oslo",
        "last_updated": "2026-03-03T12:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), "UNKNOWN"),
        ((online(),), "UNKNOWN"),
        ((online(), state("Available")), "AVAILABLE"),
        ((online(), state("Preparing")), "BLOCKED"),
        ((online(), state("Charging")), "CHARGING"),
        ((online(), state("SuspendedEV")), "CHARGING"),
        ((online(), state("SuspendedEVSE")), "CHARGING"),
        ((online(), state("Finishing")), "BLOCKED"),
        ((online(), state("Occupied")), "CHARGING"),
        ((online(), state("Reserved")), "RESERVED"),
        ((online(), state("Unavailable")), "INOPERATIVE"),
        ((online(), state("Faulted")), "OUTOFORDER"),
        ((online(), state("Yodelling")), "UNKNOWN"),
        ((state("Available"),), "UNKNOWN"),
        ((online(), state("Available"), offline()), "UNKNOWN"),
        ((online(), state("Available"), offline(), online()), "AVAILABLE"),
        ((online(), state("Available"), state("Unavailable", 0)), "INOPERATIVE"),
        ((online(), state("Charging"), state("Faulted", 0)), "OUTOFORDER"),
        ((online(), state("Charging"), state("Available", 0)), "CHARGING"),
    ],
)
def test_an_evses_status_is_its_connectors_and_its_chargers(
    events: tuple[feed.FeedEvent, ...], expected: str
) -> None:
    """P21."""
    site = sites(begun(), added(), *events)[SITE]
    assert statuses(site) == {EVSE_1: expected}


def test_each_connector_is_an_evse_that_says_since_when_it_is_so() -> None:
    found = sites(begun(), added(), online(), state("Available"), state("Charging", 2))[SITE]
    assert statuses(found) == {EVSE_1: "AVAILABLE", EVSE_2: "CHARGING"}
    assert {uid: seen.since for uid, seen in found.evses.items()} == {
        EVSE_1: NOON + 3 * MINUTE,
        EVSE_2: NOON + 4 * MINUTE,
    }


@pytest.mark.parametrize("roles", [("SERVICE",), ("OWNER", "SERVICE")])
def test_what_a_partner_does_not_operate_is_no_location_of_its(roles: tuple[str, ...]) -> None:
    """P20."""
    found = sites(begun(roles), added(), online(), state("Available"))[SITE]
    assert not found.evses
    assert not found.operated
    assert not msgspec.structs.replace(found, place=PLACE).listed


def test_an_operator_of_one_charger_is_told_of_that_alone() -> None:
    other = "11111111-2222-4333-8444-555555555555"
    found = sites(begun(charger_id=CHARGER), added(), added(other))[SITE]
    assert set(found.evses) == {EVSE_1}
    assert found.operates(CHARGER)
    assert not found.operates(other)


def test_a_site_without_an_address_is_no_location() -> None:
    """P20."""
    found = sites(begun(), added())[SITE]
    assert not found.listed
    assert msgspec.structs.replace(found, place=PLACE).listed
    with pytest.raises(ValueError, match=SITE):
        locations.location(found, party=US, changed_at=NOON)


@pytest.mark.parametrize(
    "event",
    [
        ended(),
        feed.AccessChanged(installation_id=SITE, roles=("SERVICE",)),
        feed.ChargerMoved(charger_id=CHARGER, from_installation_id=SITE),
    ],
)
def test_what_is_operated_no_longer_is_removed_and_comes_back(event: feed.FeedEvent) -> None:
    """P22: there is no other way to take anything back."""
    gone = (begun(), added(), online(), state("Available"), event)
    assert statuses(sites(*gone)[SITE]) == {EVSE_1: "REMOVED"}
    back = sites(*gone, begun(), added(), online(), state("Charging"))[SITE]
    assert statuses(back) == {EVSE_1: "CHARGING"}


def test_a_charger_that_moved_is_as_it_was_at_the_other_site() -> None:
    there = feed.AccessStarted(installation_id=OTHER_SITE, roles=("OPERATOR",))
    moved = feed.ChargerMoved(
        charger_id=CHARGER, installation_id=OTHER_SITE, from_installation_id=SITE
    )
    found = sites(begun(), there, added(), online(), state("Available"), moved)
    assert statuses(found[SITE]) == {EVSE_1: "REMOVED"}
    assert statuses(found[OTHER_SITE]) == {EVSE_1: "AVAILABLE"}
    assert not found[SITE].chargers


def test_what_was_moved_away_unseen_does_not_come_back_with_the_site() -> None:
    found = sites(begun(), added(), ended(), begun())[SITE]
    assert statuses(found) == {EVSE_1: "REMOVED"}


def test_what_changes_nothing_changes_no_site() -> None:
    known = sites(begun(), added(), online(), state("Available"))
    for event in (added(), online(), state("Available"), begun()):
        assert not locations.after(known, event, NOON + 1)


def test_the_first_push_is_the_whole_and_then_only_what_differs() -> None:
    """P23."""
    first = told(begun(), added(), online(), state("Available"), state("Available", 2))
    own = ("NO", "CKY", SITE)
    assert locations.pushes(first, None) == [Push("PUT", own, first)]
    assert locations.pushes(first, first) == []
    busy = told(
        begun(), added(), online(), state("Available"), state("Available", 2), state("Charging", 2)
    )
    assert locations.pushes(busy, first) == [
        Push(
            "PATCH",
            (*own, EVSE_2),
            EvseChange(status="CHARGING", last_updated="2026-03-03T12:05:00.000Z"),
        )
    ]
    more = told(begun(), added(), online(), state("Available"))
    assert locations.pushes(busy, more) == [Push("PUT", own, busy)]
    moved = msgspec.structs.replace(busy, address="Storgata 2")
    assert locations.pushes(moved, busy) == [Push("PUT", own, moved)]


def test_an_evses_uid_names_its_connector_and_fits() -> None:
    """P21: CiString(36), and 48 for the other."""
    assert evse_uid(CHARGER, 999) == "71aa0c441d5e4a0b9d3e6b8f2c4e5d33*999"
    assert len(evse_uid(CHARGER, 999)) == 36
    assert charger_of(evse_uid(CHARGER, 12)) == (CHARGER, 12)
    assert charger_of(evse_uid(CHARGER, 1).upper()) == (CHARGER, 1)
    assert charger_of(CHARGER) == (CHARGER, None)
    _, _, rest = evse_id("NO", "CKY", CHARGER, 999).split("*", 2)
    assert len(rest) <= 31
