"""Forgetting a user takes away all he holds at once, the last owner's place excepted (R6, R20)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chargekey_access.application.forgetting import Forgetting
from chargekey_access.domain.errors import LastOwnerError
from chargekey_access.domain.events import (
    EVENTS,
    AccessRequested,
    AccessRequestWithdrawn,
    InstallationCreated,
    OwnerAdded,
    OwnerRemoved,
    OwnershipOffered,
    OwnershipOfferWithdrawn,
    PartnerCreated,
    PartnerMemberAdded,
    PartnerMemberRemoved,
    PermissionGranted,
    PermissionRevoked,
    Role,
    UserBlockedAtInstallation,
    UserForgotten,
    UserUnblockedAtInstallation,
)
from chargekey_access.domain.owners import owners_id
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_access.projections.directory import Directory
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import DomainEvent
from chargekey_common.eventstore.store import Context, EventStore, Reaction, Work
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.published.identity import UserErased

IDENTITY = "service:identity"
YEAR = 365 * 86_400 * 10**9


class World:
    """A store with what happened in it, and forgetting."""

    def __init__(self, place: Path | Postgres) -> None:
        if isinstance(place, Postgres):
            EventStore.migrate(place)
        self.store = EventStore("access", place, EVENTS)
        self.directory = Directory(self.store)
        self.forgetting = Forgetting(self.store, self.directory)

    def close(self) -> None:
        self.store.close()

    def tell(self, aggregate_id: str, *events: DomainEvent) -> None:
        def decide(work: Work) -> None:
            work.record(work.load(_last, aggregate_id), *events)

        context = Context("administrator:local", f"tell-{self.store.end()}")
        self.store.execute("tell", type(None), context, decide)

    def site(self, site: str, *owners: str) -> None:
        self.tell(
            site, InstallationCreated(name=site, time_zone="UTC", authorisation_required=True)
        )
        for owner in owners:
            self.grant(owner, site, "OWNER")

    def grant(self, user_id: str, site: str, *roles: Role, charger: str | None = None) -> str:
        key = permission_id(Subject(user_id), Target(site, charger))
        granted = PermissionGranted(
            installation_id=site,
            charger_id=charger,
            user_id=user_id,
            roles=roles,
            valid_until=None,
            local=False,
        )
        self.tell(key, granted)
        if "OWNER" in roles and charger is None:
            self.tell(owners_id(site), OwnerAdded(installation_id=site, user_id=user_id))
        return key

    def forget(self, user_id: str, command_id: str = "forget") -> list[DomainEvent]:
        """Forget somebody and return what was recorded for it."""
        before = self.store.end()
        self.forgetting.forget_user(Context(IDENTITY, command_id), user_id=user_id)
        return self.since(before)

    def hear_erased(self, user_id: str, number: int) -> list[DomainEvent]:
        """React as to an event of identity's."""
        before = self.store.end()
        handled = Handled("access-on-user-erased", Position("identity", "0" * 16, number))
        reaction = Reaction(handled, f"event-{number}", 1, "administrator:local")
        self.forgetting.react_to_user_erased(UserErased(user_id=user_id), reaction)
        return self.since(before)

    def since(self, number: int) -> list[DomainEvent]:
        return [record.event for _, record, _ in self.store.read(number, 1000)]


def _last(_: DomainEvent | None, event: DomainEvent) -> DomainEvent:
    return event


@pytest.fixture
def world(place: Path | Postgres) -> Iterator[World]:
    with closing(World(place)) as world:
        yield world


def test_everything_a_user_has_is_taken_away_in_one_save(world: World) -> None:
    """R20: permissions, ownership, an offer, a block, places in partners, what he asked for."""
    world.site("home", "ada", "grace")
    world.site("office", "ada")
    world.site("elsewhere", "ada")
    world.grant("grace", "office", "USER", "SERVICE", charger="cp")
    kept = world.grant("ada", "home", "USER", charger="cp")
    world.tell(
        owners_id("office"), UserBlockedAtInstallation(installation_id="office", user_id="grace")
    )
    world.tell(
        owners_id("elsewhere"),
        OwnershipOffered(installation_id="elsewhere", from_user_id="ada", to_user_id="grace"),
    )
    world.tell(
        "firm",
        PartnerCreated(
            name="Firm", kind="SERVICE_PARTNER", lookup_key="AB12", contact="call", logo_url=""
        ),
        PartnerMemberAdded(user_id="ada", manages=False),
        PartnerMemberAdded(user_id="grace", manages=True),
    )
    asked = AccessRequested(
        user_id="grace",
        partner_id=None,
        installation_id=None,
        roles=("USER",),
        expires_at=world.store.end() + YEAR,
    )
    world.tell("request", asked)
    recorded = world.forget("grace")
    at_home = permission_id(Subject("grace"), Target("home"))
    assert set(recorded) == {
        OwnerRemoved(installation_id="home", user_id="grace"),
        UserUnblockedAtInstallation(installation_id="office", user_id="grace"),
        OwnershipOfferWithdrawn(
            installation_id="elsewhere", from_user_id="ada", to_user_id="grace"
        ),
        PermissionRevoked(installation_id="home", charger_id=None, user_id="grace"),
        PermissionRevoked(installation_id="office", charger_id="cp", user_id="grace"),
        PartnerMemberRemoved(user_id="grace"),
        AccessRequestWithdrawn(),
        UserForgotten(user_id="grace"),
    }
    assert not world.directory.holdings.of(Subject("grace"))
    assert not world.directory.holdings.permission(at_home).holds
    assert world.directory.holdings.permission(kept).holds
    assert world.directory.partners.of_user("grace") == {}
    assert world.directory.holdings.owners("home").owners == {"ada"}
    assert world.directory.holdings.is_forgotten("grace")


def test_the_last_owner_is_not_forgotten_and_loses_nothing(world: World) -> None:
    """R6: not at one of many sites."""
    world.site("home", "ada", "grace")
    world.site("office", "grace")
    with pytest.raises(LastOwnerError):
        world.forget("grace")
    assert len(world.directory.holdings.of(Subject("grace"))) == 2
    assert not world.directory.holdings.is_forgotten("grace")
    world.grant("ada", "office", "OWNER")
    world.forget("grace")
    assert world.directory.holdings.owners("office").owners == {"ada"}


def test_whom_nobody_knows_is_forgotten_all_the_same_and_only_once(world: World) -> None:
    assert world.forget("nobody", "one") == [UserForgotten(user_id="nobody")]
    assert world.forget("nobody", "two") == []


def test_what_was_given_at_the_same_moment_goes_when_he_is_erased(world: World) -> None:
    """R20: the second line, also after access was restored from a backup of before."""
    world.site("home", "ada")
    world.forget("grace")
    world.grant("grace", "home", "USER")
    revoked = PermissionRevoked(installation_id="home", charger_id=None, user_id="grace")
    assert world.hear_erased("grace", 1) == [revoked]
    assert world.hear_erased("grace", 1) == []
    assert world.hear_erased("grace", 2) == []


def test_the_erased_last_owner_of_a_restored_site_stays_it_and_may_nothing(world: World) -> None:
    """R6: a site that had an owner has one; only an administrator can make another."""
    world.site("home", "grace")
    world.grant("grace", "home", "USER", charger="cp")
    assert world.hear_erased("grace", 1) == [
        PermissionRevoked(installation_id="home", charger_id="cp", user_id="grace"),
        UserForgotten(user_id="grace"),
    ]
    assert world.directory.holdings.owners("home").owners == {"grace"}
    assert world.directory.holdings.is_forgotten("grace")
