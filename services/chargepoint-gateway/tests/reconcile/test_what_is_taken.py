"""What takes somebody's right, or gives it back, in the lists of the chargers it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from chargekey_common.published import access, identity
from chargekey_gateway.commands import ClearCache, RemoteStop

from .conftest import ADA, BOB, LONG, Replica, Site, StandardCharger

NewReplica = Callable[..., Replica]
SECOND = "04A1B2FF"
CLEO, DAN = "04C1E0AA", "04DA00BB"
BOTH = {ADA: "Accepted", BOB: "Accepted"}


def of_two() -> Site:
    """Two chargers, and two people who may charge at both."""
    site = Site("first", "second")
    site.resident("ada", ADA)
    site.resident("bob", BOB)
    return site


async def connected(replica: Replica, *charger_ids: str) -> list[StandardCharger]:
    chargers = [StandardCharger(replica.site.charger(each)) for each in charger_ids]
    for charger in chargers:
        replica.reconciler.connected(charger)
    await replica.settled()
    return chargers


def erase(site: Site, user: str, *keys: str) -> None:
    """As identity and access tell it: his cards go, what he holds goes, he is nobody."""
    for key in keys:
        site.remove(user, key)
    site.tell(identity.UserErased(user_id=user))
    site.revoke(user)


async def test_an_erased_user_leaves_every_list(new_replica: NewReplica) -> None:
    """R20: what cannot be read any more is not named; all the others are sent."""
    site = of_two()
    site.add(SECOND, "ada")
    replica = new_replica(site)
    several = await connected(replica, "first", "second")
    assert all(SECOND in charger.entries for charger in several)
    erase(site, "ada", "ada-04A1B2C3", "ada-04A1B2FF")
    await replica.settled()
    for charger in several:
        assert charger.statuses() == {BOB: "Accepted"}
        assert charger.lists()[-1].full
        assert charger.of(ClearCache)
        assert replica.state(charger.charger.id).pending == []


@pytest.mark.parametrize("on_revoke", ["STOP", "FINISH"])
async def test_whoever_is_erased_charges_on_only_where_the_site_lets_him_finish(
    new_replica: NewReplica, on_revoke: str
) -> None:
    """R12, R20."""
    site = of_two()
    site.policies(on_revoke=on_revoke)
    replica = new_replica(site)
    [charger] = await connected(replica, "first")
    site.start(1, "ada", identification_id="ada-04A1B2C3")
    site.start(2, "bob", identification_id="bob-04D4E5F6")
    await replica.settled()
    erase(site, "ada", "ada-04A1B2C3")
    if on_revoke == "STOP":
        async with asyncio.timeout(LONG):
            while not charger.of(RemoteStop):
                await asyncio.sleep(0)
        site.end(1)
    await replica.settled()
    asked = {each.transaction_id for each in charger.sent if isinstance(each, RemoteStop)}
    assert asked == ({1} if on_revoke == "STOP" else set())
    assert charger.statuses() == {BOB: "Accepted"}


async def test_a_removed_card_leaves_every_list_and_its_users_other_one_stays(
    new_replica: NewReplica,
) -> None:
    """R16."""
    site = of_two()
    site.add(SECOND, "ada")
    replica = new_replica(site)
    several = await connected(replica, "first", "second")
    site.remove("ada", "ada-04A1B2C3")
    await replica.settled()
    for charger in several:
        assert charger.statuses() == {SECOND: "Accepted", BOB: "Accepted"}
        assert charger.of(ClearCache)


async def test_a_card_whose_type_is_switched_off_is_in_no_list_there_until_it_is_on_again(
    new_replica: NewReplica,
) -> None:
    """R19: at that charger alone."""
    site = of_two()
    replica = new_replica(site)
    first, second = await connected(replica, "first", "second")
    site.types("PIN", "APP")
    await replica.settled()
    assert first.entries == {}
    assert first.of(ClearCache)
    assert second.statuses() == BOTH
    assert not second.of(ClearCache)
    site.types("RFID", "PIN", "APP")
    await replica.settled()
    assert first.statuses() == second.statuses() == BOTH


@pytest.mark.parametrize("required", [True, False])
async def test_an_override_gives_the_charger_its_list_or_takes_it(
    new_replica: NewReplica, *, required: bool
) -> None:
    """R1: an open charger at a restricted site, a restricted one at an open site."""
    site = of_two()
    site.restricted(required=not required)
    replica = new_replica(site)
    first, second = await connected(replica, "first", "second")
    by_site = {} if required else BOTH
    by_override = BOTH if required else {}
    assert first.statuses() == second.statuses() == by_site
    for override, statuses in (
        ("REQUIRED" if required else "NOT_REQUIRED", by_override),
        ("INHERIT", by_site),
    ):
        site.tell(
            access.AuthorisationOverrideSet(
                charger_id="first",
                installation_id="site",
                authorisation_override=override,  # type: ignore[arg-type] # one of its words
            )
        )
        await replica.settled()
        assert (first.statuses(), second.statuses()) == (statuses, by_site)


async def test_a_charger_that_moves_has_the_list_of_its_new_site_and_leaves_both_sites_theirs(
    new_replica: NewReplica,
) -> None:
    """R11: without whoever held a permission on it, and back again."""
    site = of_two()
    site.tell(
        access.InstallationCreated(
            installation_id="other", name="", time_zone="UTC", authorisation_required=True
        )
    )
    site.add_charger("third", "other")
    site.add(CLEO, "cleo")
    site.grant("cleo", charger="first")
    site.tell(
        identity.LocalUserAdded(user_id="dan", installation_id="other"),
        access.PermissionGranted(
            installation_id="other", permission_id="dan", user_id="dan", roles=("USER",)
        ),
    )
    site.add(DAN, "dan")
    replica = new_replica(site)
    first, second, third = await connected(replica, "first", "second", "third")
    of_other = {DAN: "Accepted"}
    assert first.statuses() == {**BOTH, CLEO: "Accepted"}
    assert (second.statuses(), third.statuses()) == (BOTH, of_other)
    site.revoke("cleo", charger="first")
    move(site, "other", "site")
    await replica.settled()
    assert first.statuses() == of_other
    assert first.of(ClearCache)
    assert (second.statuses(), third.statuses()) == (BOTH, of_other)
    move(site, "site", "other")
    await replica.settled()
    assert first.statuses() == {**BOTH, CLEO: "Invalid"}
    assert (second.statuses(), third.statuses()) == (BOTH, of_other)


def move(site: Site, to: str, of: str) -> None:
    site.tell(access.ChargerMoved(charger_id="first", installation_id=to, from_installation_id=of))
