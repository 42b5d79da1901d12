"""Who owns a site, how that changes hands, and who is blocked there, on both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chargekey_access.domain.errors import (
    AlreadyOwnerError,
    BlockLocalUserError,
    InstallationUnknownError,
    LastOwnerError,
    LocalUserCannotOwnError,
    NoOwnerToOfferError,
    OwnershipNotOfferedError,
    RoleNotGrantableError,
    UserBlockedHereError,
    UserUnknownError,
)
from chargekey_access.domain.events import (
    OwnerAccepted,
    OwnershipOffered,
    OwnershipTransferred,
    PermissionChanged,
    PermissionGranted,
    PermissionRevoked,
    UserArrived,
    UserBlockedAtInstallation,
)
from chargekey_access.domain.owners import Offer, owners_id
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_access.wiring import reactions
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Reaction
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.published.identity import InvitationAccepted

from .conftest import Access
from .given import (
    a_charger,
    a_local_user,
    a_partner,
    a_site,
    accepts,
    by,
    change,
    grant,
    holders,
    now,
    opened,
    refused,
    revoke,
)

OLA, KARI = Subject("ola"), Subject("kari")


@pytest.fixture
def access(place: Path | Postgres) -> Iterator[Access]:
    store = opened(place)
    yield Access(store)
    store.close()


def offer(access: Access, caller: str, site: str, user_id: str, *, invited: bool = True) -> None:
    access.owners.offer_ownership(
        by(caller), installation_id=site, user_id=user_id, invited=invited
    )


def accept(access: Access, caller: str, site: str) -> None:
    access.owners.accept_ownership(by(caller), installation_id=site)


def block(access: Access, caller: str, site: str, user_id: str) -> None:
    access.owners.block_user_at_installation(by(caller), installation_id=site, user_id=user_id)


def offered(access: Access, site: str) -> Offer | None:
    return access.directory.holdings.owners(site).offer


def test_ownership_changes_hands_in_one_save_when_it_is_accepted(access: Access) -> None:
    """R6."""
    site = a_site(access, "ola")
    offer(access, "ola", site, "kari")
    assert holders(access, Target(site)) == {"ola": {"OWNER", "USER"}}
    end = access.store.end()
    accept(access, "kari", site)
    happened = [type(record.event) for _, record, _ in access.store.read(end, 100)]
    assert sorted(each.__name__ for each in happened) == sorted(
        each.__name__ for each in (OwnershipTransferred, PermissionChanged, PermissionGranted)
    )
    assert holders(access, Target(site)) == {"ola": {"USER"}, "kari": {"OWNER", "USER"}}
    assert access.directory.holdings.owners(site).owners == {"kari"}
    with pytest.raises(RoleNotGrantableError):
        grant(access, by("ola"), Target(site), Subject("per"), "USER", invited=True)


def test_who_takes_over_keeps_what_he_held_without_its_end_and_who_only_owned_holds_nothing(
    access: Access,
) -> None:
    """R6, R10."""
    site = a_site(access)
    grant(access, now(), Target(site), OLA, "OWNER", invited=True)
    grant(access, now(), Target(site), KARI, "SERVICE", valid_until="2199-01-01", invited=True)
    offer(access, "ola", site, "kari")
    end = access.store.end()
    accept(access, "kari", site)
    assert PermissionRevoked in {type(record.event) for _, record, _ in access.store.read(end, 9)}
    assert holders(access, Target(site)) == {"kari": {"OWNER", "USER", "SERVICE"}}
    key = permission_id(KARI, Target(site))
    assert access.directory.holdings.permission(key).valid_until is None


def test_an_offer_that_ends_while_it_is_being_accepted_is_no_offer(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: what was read before the giver left is decided again."""
    site = a_site(access, "ola", "per")
    offer(access, "ola", site, "kari")
    load, left = access.store.load, []

    def interrupted(evolve: Any, aggregate_id: str) -> Any:
        loaded = load(evolve, aggregate_id)
        if aggregate_id == owners_id(site) and not left:
            left.append("ola")
            revoke(access, by("per"), Target(site), OLA)
        return loaded

    monkeypatch.setattr(access.store, "load", interrupted)
    with pytest.raises(OwnershipNotOfferedError):
        accept(access, "kari", site)
    assert left
    assert holders(access, Target(site)) == {"per": {"OWNER", "USER"}}


def test_only_who_it_was_offered_to_accepts_and_only_once(access: Access) -> None:
    """R6."""
    site = a_site(access, "ola")
    with pytest.raises(OwnershipNotOfferedError):
        accept(access, "kari", site)
    offer(access, "ola", site, "kari")
    for caller in ("per", "ola", ADMINISTRATOR, "partner:kari"):
        with pytest.raises(OwnershipNotOfferedError):
            accept(access, caller, site)
    answers = {
        user: refused(
            access, Caller(f"user:{user}"), "access.AcceptOwnership", f"installation:{site}"
        )
        for user in ("ola", "kari", "per")
    }
    assert answers == {"ola": "permission_denied", "kari": None, "per": "permission_denied"}
    accept(access, "kari", site)
    with pytest.raises(OwnershipNotOfferedError):
        accept(access, "kari", site)


def test_an_administrator_offers_only_where_one_owner_could_be_meant(access: Access) -> None:
    """R6."""
    nobodys, olas, both = a_site(access), a_site(access, "ola"), a_site(access, "ola", "kari")
    for site in (nobodys, both):
        with pytest.raises(NoOwnerToOfferError):
            offer(access, ADMINISTRATOR, site, "per")
        with pytest.raises(NoOwnerToOfferError):
            access.owners.require_offerable(ADMINISTRATOR, site)
    access.owners.require_offerable(ADMINISTRATOR, olas)
    offer(access, ADMINISTRATOR, olas, "per")
    assert offered(access, olas) == Offer("ola", "per")


def test_ownership_is_offered_to_who_could_own(access: Access) -> None:
    """R6."""
    site = a_site(access, "ola")
    a_local_user(access, site, "lise")
    with pytest.raises(UserUnknownError):
        offer(access, "ola", site, "kari", invited=False)
    with pytest.raises(LocalUserCannotOwnError):
        offer(access, "ola", site, "lise")
    with pytest.raises(AlreadyOwnerError):
        offer(access, "ola", site, "ola")
    with pytest.raises(NoOwnerToOfferError):
        offer(access, "kari", site, "per")
    with pytest.raises(InstallationUnknownError):
        offer(access, "ola", "nowhere", "kari")
    access.forgetting.forget_user(by("service:identity"), user_id="per")
    with pytest.raises(UserUnknownError):
        offer(access, "ola", site, "per")
    assert offered(access, site) is None


def test_an_offer_to_an_address_says_so_and_a_later_one_replaces_it(access: Access) -> None:
    """R6, R7."""
    site = a_site(access, "ola")
    offer(access, "ola", site, "kari")
    offer(access, "ola", site, "kari", invited=False)
    offer(access, "ola", site, "per")
    told = [
        (record.event.to_user_id, record.event.invited)
        for _, record, _ in access.store.read(0, 100)
        if isinstance(record.event, OwnershipOffered)
    ]
    assert told == [("kari", True), ("per", True)]
    with pytest.raises(OwnershipNotOfferedError):
        accept(access, "kari", site)


@pytest.mark.parametrize("caller", ["ola", "kari", ADMINISTRATOR])
def test_either_side_withdraws_the_offer(access: Access, caller: str) -> None:
    """R6."""
    site = a_site(access, "ola")
    offer(access, "ola", site, "kari")
    about = f"installation:{site}"
    who = by(caller)
    assert not refused(access, Caller(who.actor), "access.WithdrawOwnershipOffer", about)
    access.owners.withdraw_ownership_offer(who, installation_id=site)
    assert offered(access, site) is None
    assert refused(access, Caller("user:kari"), "access.WithdrawOwnershipOffer", about)
    with pytest.raises(OwnershipNotOfferedError):
        access.owners.withdraw_ownership_offer(by(caller), installation_id=site)


LOSSES: Mapping[str, Callable[[Access, str], object]] = {
    "removed": lambda access, site: revoke(access, by("per"), Target(site), OLA),
    "giver blocked": lambda access, site: block(access, "per", site, "ola"),
    "taker blocked": lambda access, site: block(access, "per", site, "kari"),
    "giver forgotten": lambda access, _: forget(access, "ola"),
    "taker forgotten": lambda access, _: forget(access, "kari"),
}


def forget(access: Access, user_id: str) -> None:
    access.forgetting.forget_user(by("service:identity"), user_id=user_id)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_offer_is_void_with_the_standing_of_either_side(access: Access, loss: str) -> None:
    """R6."""
    site = a_site(access, "ola", "per")
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    offer(access, "ola", site, "kari")
    LOSSES[loss](access, site)
    assert offered(access, site) is None
    with pytest.raises(OwnershipNotOfferedError):
        accept(access, "kari", site)


def test_who_is_blocked_at_a_site_can_do_nothing_there_but_leave(access: Access) -> None:
    """R12: an owner who is blocked does not lift it himself."""
    site, elsewhere = a_site(access, "ola", "kari"), a_site(access, "kari")
    block(access, "ola", site, "kari")
    caller = Caller("user:kari")
    for action in ("UnblockUserAtInstallation", "GrantPermission", "GetInstallation"):
        assert refused(access, caller, f"access.{action}", f"installation:{site}")
        assert not refused(access, caller, f"access.{action}", f"installation:{elsewhere}")
    with pytest.raises(RoleNotGrantableError):
        grant(access, by("kari"), Target(site), Subject("per"), "USER", invited=True)
    own = f"permission:{permission_id(KARI, Target(site))}"
    assert not refused(access, caller, "access.RevokePermission", own)
    access.owners.unblock_user_at_installation(by("ola"), installation_id=site, user_id="kari")
    assert not refused(access, caller, "access.GrantPermission", f"installation:{site}")


def test_the_last_owner_who_is_not_blocked_stays_whatever_is_tried(access: Access) -> None:
    """R6, R12."""
    site = a_site(access, "ola", "kari")
    block(access, "ola", site, "kari")
    for attempt in (
        lambda: revoke(access, by("ola"), Target(site), OLA),
        lambda: grant(access, now(), Target(site), OLA, "USER"),
        lambda: block(access, ADMINISTRATOR, site, "ola"),
        lambda: access.forgetting.forget_user(by("service:identity"), user_id="ola"),
    ):
        with pytest.raises(LastOwnerError):
            attempt()
    assert holders(access, Target(site))["ola"] == {"OWNER", "USER"}
    revoke(access, by("ola"), Target(site), KARI)
    with pytest.raises(UserBlockedHereError):
        grant(access, by("ola"), Target(site), KARI, "OWNER")


def owns(access: Access, site: str, *, invited: bool = False) -> None:
    grant(access, by("ola"), Target(site), KARI, "OWNER", "USER", invited=invited)


def owns_after_a_place_in_a_partner(access: Access, site: str) -> None:
    partner_id = a_partner(access, members={"ines": True})
    access.partners.add_partner_member(
        by("ines"), partner_id=partner_id, user_id="kari", manages=False, invited=True
    )
    owns(access, site)


def owns_after_an_offer(access: Access, site: str) -> None:
    offer(access, "ola", site, "kari")
    owns(access, site)


def owns_after_something_else(access: Access, site: str) -> None:
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    change(access, by("ola"), Target(site), KARI, "OWNER", "USER")


def owns_after_something_elsewhere(access: Access, site: str) -> None:
    grant(access, by("ola"), Target(a_site(access, "ola")), KARI, "USER", invited=True)
    owns(access, site)


def owns_by_his_address_twice(access: Access, site: str) -> None:
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    owns(access, site, invited=True)


WAYS_TO_OWN: Mapping[str, Callable[[Access, str], None]] = {
    "by his address": lambda access, site: owns(access, site, invited=True),
    "after a place in a partner": owns_after_a_place_in_a_partner,
    "after an offer": owns_after_an_offer,
    "after something else there": owns_after_something_else,
    "after something elsewhere": owns_after_something_elsewhere,
    "by his address, after something else": owns_by_his_address_twice,
}


@pytest.mark.parametrize("way", WAYS_TO_OWN)
def test_nobody_leaves_a_site_to_an_owner_who_may_be_nobody(access: Access, way: str) -> None:
    """R6, R7: who is known by his address alone counts when he has accepted."""
    site = a_site(access, "ola")
    WAYS_TO_OWN[way](access, site)
    assert holders(access, Target(site)) == {"ola": {"OWNER", "USER"}, "kari": {"OWNER", "USER"}}
    for attempt in (
        lambda: revoke(access, by("ola"), Target(site), OLA),
        lambda: change(access, by("ola"), Target(site), OLA, "USER"),
        lambda: block(access, ADMINISTRATOR, site, "ola"),
        lambda: forget(access, "ola"),
    ):
        with pytest.raises(LastOwnerError):
            attempt()
    accepts(access, "kari")
    revoke(access, by("ola"), Target(site), OLA)
    assert holders(access, Target(site)) == {"kari": {"OWNER", "USER"}}


def test_an_owner_whom_nobody_had_to_invite_counts_at_once(access: Access) -> None:
    """R6: and so does who has accepted before, also where that was something else."""
    first, second = a_site(access, "kari"), a_site(access, "ola")
    grant(access, by("ola"), Target(second), KARI, "OWNER")
    revoke(access, by("ola"), Target(second), OLA)
    assert holders(access, Target(second)) == {"kari": {"OWNER"}}
    grant(access, by("kari"), Target(first), Subject("per"), "USER", invited=True)
    accepts(access, "per")
    grant(access, by("kari"), Target(first), Subject("per"), "OWNER", invited=True)
    revoke(access, by("kari"), Target(first), KARI)
    assert holders(access, Target(first)) == {"per": {"OWNER"}}


def test_a_wrong_address_is_taken_away_and_leaves_by_itself(access: Access) -> None:
    """R6: an owner who does not count keeps nobody."""
    site = a_site(access, "ola")
    owns(access, site, invited=True)
    revoke(access, by("ola"), Target(site), KARI)
    owns(access, site, invited=True)
    revoke(access, by("kari"), Target(site), KARI)
    assert holders(access, Target(site)) == {"ola": {"OWNER", "USER"}}


async def test_an_accepted_invitation_counts_at_every_site_in_one_save_and_once(
    access: Access,
) -> None:
    """R6: a redelivered event repeats nothing, and neither does another invitation."""
    sites = {a_site(access, "ola") for _ in range(2)}
    a_site(access, "kari")
    for site in sites:
        owns(access, site, invited=True)
    [react] = [on.react for on in reactions(access) if on.event is InvitationAccepted]
    end = access.store.end()
    for number in (1, 1, 2):
        handled = Handled("access-on-invitation-accepted", Position("identity", "0" * 16, number))
        event = InvitationAccepted(user_id="kari", invitation_id=f"invitation-{number}")
        await react(event, Reaction(handled, f"event-{number}", 0, "user:kari"))
        assert access.store.handled("access-on-invitation-accepted") == handled.position
    happened = [record for _, record, _ in access.store.read(end, 100)]
    assert {record.cause for record in happened} == {"event-1"}
    assert [record.event for record in happened if isinstance(record.event, UserArrived)] == [
        UserArrived(user_id="kari")
    ]
    told = [record.event for record in happened if isinstance(record.event, OwnerAccepted)]
    assert {event.installation_id for event in told} == sites
    assert len(happened) == 3


def test_who_is_blocked_at_a_site_adds_nothing_of_his_own_there(access: Access) -> None:
    """R12, R13: no PIN, no card; he takes away what he has, and others look after it."""
    site, elsewhere = a_site(access, "ola", "kari"), a_site(access, "kari")
    block(access, "ola", site, "kari")
    kari, ola = Caller("user:kari"), Caller("user:ola")
    for at, expected in ((site, "permission_denied"), (elsewhere, None)):
        own = f"user:kari/installation:{at}"
        for action in ("AddIdentification", "ChangeIdentification", "StartScan", "RevealCode"):
            assert refused(access, kari, f"identity.{action}", own) == expected
        assert not refused(access, kari, "identity.RemoveIdentification", own)
    for action in ("AddIdentification", "RemoveIdentification", "ListIdentifications"):
        assert not refused(access, ola, f"identity.{action}", f"user:kari/installation:{site}")
    access.owners.unblock_user_at_installation(by("ola"), installation_id=site, user_id="kari")
    his = f"user:kari/installation:{site}"
    assert not refused(access, kari, "identity.AddIdentification", his)


def test_a_local_user_is_blocked_by_his_own_block(access: Access) -> None:
    """R12."""
    site = a_site(access, "ola")
    a_local_user(access, site, "lise")
    with pytest.raises(BlockLocalUserError):
        block(access, "ola", site, "lise")
    with pytest.raises(BlockLocalUserError):
        access.owners.unblock_user_at_installation(by("ola"), installation_id=site, user_id="lise")


def test_anybody_else_is_blocked_there_whatever_he_holds_it_by(access: Access) -> None:
    """R12: charger permissions and a partner's included, and before he holds anything."""
    site, elsewhere = a_site(access, "ola"), a_site(access, "ola")
    charger = a_charger(access, site)
    a_partner(access, members={"ines": False})
    grant(access, by("ola"), Target(site, charger), KARI, "USER", invited=True)
    grant(access, by("ola"), Target(elsewhere), Subject("per"), "USER", invited=True)
    for user_id in ("kari", "ines", "per"):
        block(access, "ola", site, user_id)
        block(access, "ola", site, user_id)
    assert access.directory.holdings.owners(site).blocked == {"kari", "ines", "per"}
    assert access.directory.holdings.owners(elsewhere).blocked == set()
    told = [
        record.event
        for _, record, _ in access.store.read(0, 100)
        if isinstance(record.event, UserBlockedAtInstallation)
    ]
    assert len(told) == 3
    with pytest.raises(UserUnknownError):
        block(access, "ola", site, "nobody")


def test_nobody_is_blocked_by_who_could_not_take_away_what_he_holds(access: Access) -> None:
    """R5, R12: an operator blocks drivers, no owners."""
    site = a_site(access, "ola", "per")
    operator = a_partner(access, "PAYMENT_OPERATOR", members={"ines": False})
    grant(access, by("ola"), Target(site), KARI, "USER", invited=True)
    grant(access, by("ola"), Target(site), Subject(partner_id=operator), "OPERATOR")
    block(access, "ines", site, "kari")
    with pytest.raises(RoleNotGrantableError):
        block(access, "ines", site, "ola")
