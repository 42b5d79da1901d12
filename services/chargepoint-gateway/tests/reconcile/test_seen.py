"""Whose cards a charger's list may hold: those that its site has seen, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from nats.aio.client import Client

from chargekey_common.follower import Follower
from chargekey_common.process import cancel
from chargekey_common.published import access, identity
from chargekey_common.published.sessions import Inputs
from chargekey_gateway.inputs import gather
from chargekey_gateway.reconcile.changes import Changes
from chargekey_gateway.reconcile.kept import Kept
from chargekey_gateway.reconcile.lists import Lists
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.sessions.batches import End, Start
from chargekey_gateway.sessions.journal import Journal
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.sessions.stream import STREAM, declare
from chargekey_gateway.view.view import View

from .conftest import ADA, BOB, KEYED_IDS, LONG, Replica, Site, StandardCharger

NewReplica = Callable[..., Replica]


def listed(site: Site, charger: str = "first") -> dict[str, str]:
    """Return the statuses that a charger's list should have, by identification."""
    lists = Lists(site.view, site.seen, KEYED_IDS.group_token)
    wanted = lists.wanted(site.charger(charger), None, site.at)
    return {key: wish.status for key, wish in wanted.entries.items()}


def test_a_permission_alone_puts_nobodys_card_into_a_list() -> None:
    """R17: whoever owns a charger may grant a permission to anybody, and reads its list."""
    site = Site("first", "second", guests=["ada"])
    card = site.resident("ada", ADA)
    site.grant("ada", charger="second")
    assert listed(site) == listed(site, "second") == {}
    # Signing up, or in, is not consent.
    site.tell(
        identity.PendingUserAdded(user_id="ada"),
        identity.InvitationAccepted(user_id="ada", invitation_id="invitation"),
        identity.EmailVerified(user_id="ada"),
        identity.SignedIn(user_id="ada", by="INVITATION"),
    )
    assert listed(site) == listed(site, "second") == {}
    site.start(1, identification_id=card)
    assert listed(site) == listed(site, "second") == {card: "Accepted"}


@pytest.mark.parametrize("change", ["block", "revoke"])
def test_nor_does_a_refusal(change: str) -> None:
    """R12, R17: who is blocked or has left is listed only where his card is known."""
    site = Site(guests=["ada", "bob"])
    card = site.resident("ada", ADA)
    site.resident("bob", BOB)
    site.start(1, identification_id=card)
    for user in ("ada", "bob"):
        getattr(site, change)(user)
    assert listed(site) == {card: "Blocked" if change == "block" else "Invalid"}


def test_what_the_sites_own_people_have_is_known_there_and_nowhere_else() -> None:
    site = Site()
    site.add_charger("third", "another")
    card = site.resident("ada", ADA)
    site.tell(
        access.InstallationCreated(
            installation_id="another", name="", time_zone="UTC", authorisation_required=True
        ),
        access.PermissionGranted(
            installation_id="another", permission_id="p", user_id="ada", roles=("USER",)
        ),
    )
    assert listed(site) == {card: "Accepted"}
    assert listed(site, "third") == {}


def test_who_is_local_may_be_told_after_his_permission_and_again() -> None:
    site = Site(guests=["ada"])
    card = site.resident("ada", ADA)
    replica = Replica(site)
    assert not replica.convergence.of(site.charger()).wanted.entries
    site.tell(identity.LocalUserAdded(user_id="ada", installation_id="site"))
    assert list(replica.convergence.of(site.charger()).wanted.entries) == [card]
    digest = site.view.digest()
    site.view.reset("identity")
    user = site.view.user("ada")
    assert user is not None
    assert user.local_to is None
    assert site.view.digest() != digest


def test_a_pin_or_card_that_was_given_at_a_site_is_known_there() -> None:
    """R13."""
    site = Site(guests=["ada"])
    site.policies(offline_pins=True)
    pin = site.resident("ada", "#2468")
    given = site.add(ADA, "ada", installation_id="site")
    site.add(BOB, "ada", installation_id="another")
    assert listed(site) == {pin: "Accepted", given: "Accepted"}


def test_a_card_that_charged_at_another_site_is_not_known_here() -> None:
    site = Site(guests=["ada"])
    card = site.resident("ada", ADA)
    site.start(1, identification_id=card, installation_id="another")
    assert listed(site) == {}


def test_a_new_number_of_a_card_is_not_known_before_it_charges() -> None:
    """R17: what was seen is the old one."""
    site = Site(guests=["ada"])
    card = site.resident("ada", ADA)
    site.start(1, identification_id=card)
    assert listed(site) == {card: "Accepted"}
    site.tell(identity.IdentificationCodeChanged(user_id="ada", identification_id=card))
    assert listed(site) == {}
    site.start(2, identification_id=card, inputs=Inputs(at=site.at - 1))
    assert listed(site) == {}
    site.at += 1
    site.start(3, identification_id=card)
    assert listed(site) == {card: "Accepted"}
    # An offline one that is told of later takes nothing back.
    site.start(4, identification_id=card, inputs=Inputs(at=site.at - 1))
    assert listed(site) == {card: "Accepted"}


def test_another_card_of_somebody_who_charged_is_not_known() -> None:
    site = Site(guests=["ada"])
    card = site.resident("ada", ADA)
    site.add(BOB, "ada")
    site.start(1, identification_id=card)
    assert listed(site) == {card: "Accepted"}


def test_what_charged_at_an_open_charger_for_nobodys_permission_counts() -> None:
    """S3-10: a session was begun with it, whatever for."""
    site = Site(guests=["ada"])
    card = site.add(ADA, "ada")
    site.start(1, identification_id=card, reason="open_charger")
    site.grant("ada")
    assert listed(site) == {card: "Accepted"}


async def test_the_first_session_puts_the_card_into_the_lists_of_all_chargers_there(
    new_replica: NewReplica,
) -> None:
    """And into those of another replica, which heard of it by the stream."""
    site = Site("first", "second", guests=["ada", "bob"])
    card = site.resident("ada", ADA)
    other = site.add(BOB, "bob")
    site.grant("bob", charger="second")
    replica = new_replica(site)
    chargers = [StandardCharger(site.charger(each)) for each in ("first", "second")]
    for charger in chargers:
        replica.reconciler.connected(charger)
    await replica.settled()
    assert [charger.statuses() for charger in chargers] == [{}, {}]
    assert not site.codes.asked
    site.start(1, identification_id=card)
    await replica.settled()
    assert [charger.statuses() for charger in chargers] == [{ADA: "Accepted"}] * 2
    site.start(2, "bob", identification_id=other)
    await replica.settled()
    assert [sorted(charger.statuses()) for charger in chargers] == [[ADA], [ADA, BOB]]
    sent = [len(charger.lists()) for charger in chargers]
    site.at += 1
    site.start(3, identification_id=card)
    await replica.settled()
    assert [len(charger.lists()) for charger in chargers] == sent


async def test_four_bytes_of_a_card_tell_no_other_charger_the_rest(
    new_replica: NewReplica,
) -> None:
    """R15, R17: four bytes can be tried out at a truncating reader, or seen there."""
    site = Site("plain", "short", guests=["ada"])
    site.quirks("short", reversed=False, truncated=True, prefix="")
    card = site.resident("ada", "04A1B2C3D4E5F6")
    replica = new_replica(site)
    chargers = [StandardCharger(site.charger(each)) for each in ("plain", "short")]
    for charger in chargers:
        replica.reconciler.connected(charger)
    for number, (reader, code, plain) in enumerate(
        [
            ("short", "04A1B2C3", {}),
            ("plain", "04A1B2C3D4E5F6", {"04A1B2C3D4E5F6": "Accepted"}),
            ("short", "04A1B2C3", {"04A1B2C3D4E5F6": "Accepted"}),
        ]
    ):
        site.at += 1
        here = site.charger(reader)
        presented = site.look_up(here, code)
        inputs = gather(here, presented, at=site.at, positions=())
        assert inputs.identification_id == card
        site.start(number, identification_id=card, inputs=inputs)
        await replica.settled()
        assert [charger.statuses() for charger in chargers] == [plain, {"04A1B2C3": "Accepted"}]


async def test_a_whole_number_is_known_to_readers_that_truncate_too() -> None:
    """A card of just four bytes is whole where it is shortened."""
    site = Site("first", "short", guests=["ada", "bob"])
    site.quirks("short", reversed=False, truncated=True, prefix="")
    seven, four = site.resident("ada", "04A1B2C3D4E5F6"), site.resident("bob", BOB)
    site.start(1, identification_id=seven)
    here = site.charger("short")
    inputs = gather(here, site.look_up(here, BOB), at=site.at, positions=())
    site.start(2, "bob", identification_id=four, inputs=inputs)
    assert listed(site) == listed(site, "short") == {seven: "Accepted", four: "Accepted"}


@pytest.mark.parametrize("type_", ["RFID", "APP"])
async def test_only_what_a_list_may_hold_has_chargers_looked_at(type_: str) -> None:
    site = Site("first", "second", guests=["ada"])
    card = site.resident("ada", ADA, type=type_)
    looked_at: list[str] = []
    lists = Lists(site.view, site.seen, KEYED_IDS.group_token)
    kept = {each: Kept(StandardCharger(site.charger(each)), 0) for each in ("first", "second")}
    changes = Changes(site.view, site.running, lists, site.seen, kept, looked_at.append)
    site.start(1, identification_id=card)
    site.start(2, "bob", identification_id=site.add(BOB, "bob"))
    changes.look_now()
    assert looked_at == (["first", "second"] if type_ == "RFID" else [])
    changes.close()


async def test_a_replica_that_starts_knows_what_was_seen_from_the_stream(
    nats_client: Client,
) -> None:
    """Also by sessions that have ended, and where the stream is read before the view."""
    await declare(nats_client.jetstream(), now=0, replicas=1)
    site = Site(guests=["ada"])
    card = site.resident("ada", ADA)
    journal = Journal(nats_client, site.running, clock=site.now)
    start = Start(
        key="key",
        charger_id="first",
        installation_id="site",
        connector=1,
        started_at=0,
        meter_start=0,
    )
    here = site.charger()
    inputs = gather(here, site.look_up(here, ADA), at=site.at, positions=())
    recorded = await journal.start(start, inputs)
    await journal.end(recorded.session, End(ended_at=1, meter_stop=1, reason="Local"))
    running, empty = RunningSessions(), View()
    early, late = Seen(empty, running), Seen(site.view, running)
    follower = Follower(nats_client, STREAM, running.follow)
    task = asyncio.create_task(follower.run())
    async with asyncio.timeout(LONG):
        await follower.caught_up.wait()
    await cancel(task)
    known = site.view.identification_by_id(card)
    assert known is not None
    for seen in (site.seen, early, late):
        assert seen.has(here, known)
    elsewhere = msgspec.structs.replace(here, installation=site.view.installation("another"))
    assert not early.has(elsewhere, known)
