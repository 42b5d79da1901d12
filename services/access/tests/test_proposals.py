"""What a table of people proposes is granted beside what they hold, and holds up nobody (S3-20)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chargekey_access.application.permissions import Permissions
from chargekey_access.application.proposals import Proposals
from chargekey_access.domain.events import (
    EVENTS,
    InstallationCreated,
    OwnerAdded,
    PermissionGranted,
    Role,
    UserBlockedAtInstallation,
    UserForgotten,
)
from chargekey_access.domain.owners import owners_id
from chargekey_access.domain.permission import Permission, Subject, Target, permission_id
from chargekey_access.projections.directory import Directory
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import DomainEvent
from chargekey_common.eventstore.store import Context, EventStore, Reaction, Work
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.published.identity import AccessProposed

HOME = Target("home")
LATER, EARLIER = 2 * 10**18, 19 * 10**17


class World:
    def __init__(self, place: Path | Postgres) -> None:
        if isinstance(place, Postgres):
            EventStore.migrate(place)
        self.store = EventStore("access", place, EVENTS)
        self.directory = Directory(self.store)
        self.proposals = Proposals(
            self.store, self.directory, Permissions(self.store, self.directory)
        )
        self.heard = 0
        self.tell(
            "home", InstallationCreated(name="Home", time_zone="UTC", authorisation_required=True)
        )
        self.hold("owner", "OWNER")

    def close(self) -> None:
        self.store.close()

    def tell(self, aggregate_id: str, *events: DomainEvent) -> None:
        def decide(work: Work) -> None:
            work.record(work.load(_last, aggregate_id), *events)

        context = Context("administrator:local", f"tell-{self.store.end()}")
        self.store.execute("tell", type(None), context, decide)

    def hold(self, user_id: str, *roles: Role, valid_until: int | None = None) -> None:
        granted = PermissionGranted(
            installation_id="home",
            charger_id=None,
            user_id=user_id,
            roles=roles,
            valid_until=valid_until,
            local=False,
        )
        self.tell(permission_id(Subject(user_id), HOME), granted)
        if "OWNER" in roles:
            self.tell(owners_id("home"), OwnerAdded(installation_id="home", user_id=user_id))

    def propose(
        self,
        user_id: str,
        *roles: Role,
        valid_until: int | None = None,
        local: bool = False,
        by: str = "user:owner",
    ) -> Permission | None:
        """Hear of a proposal and return what the user holds by then."""
        self.heard += 1
        event = AccessProposed(
            user_id=user_id,
            installation_id="home",
            roles=roles,
            valid_until=valid_until,
            local=local,
        )
        handled = Handled("access-on-access-proposed", Position("identity", "0" * 16, self.heard))
        reaction = Reaction(handled, f"event-{self.heard}", 1, by)
        self.proposals.react_to_access_proposed(event, reaction)
        assert self.store.handled("access-on-access-proposed") == handled.position
        held = dict(self.directory.holdings.of(Subject(user_id)))
        return held.get(permission_id(Subject(user_id), HOME))


def _last(_: DomainEvent | None, event: DomainEvent) -> DomainEvent:
    return event


@pytest.fixture
def world(place: Path | Postgres) -> Iterator[World]:
    with closing(World(place)) as world:
        yield world


def test_who_holds_nothing_gets_what_the_table_says_and_is_invited(world: World) -> None:
    """R7: an invitation follows what was given to an address; a local user needs none."""
    held = world.propose("grace", "USER", "SERVICE", valid_until=LATER)
    assert held is not None
    assert (held.roles, held.valid_until, held.local) == (("SERVICE", "USER"), LATER, False)
    granted = world.store.records(permission_id(Subject("grace"), HOME))[0].event
    assert granted.invited
    local = world.propose("ada", "USER", local=True)
    assert local is not None
    assert local.local
    assert not world.store.records(permission_id(Subject("ada"), HOME))[0].event.invited


def test_an_import_takes_nothing_away(world: World) -> None:
    """R4: roles add up; the later end stays, and an owner has none."""
    world.hold("grace", "SERVICE", valid_until=EARLIER)
    held = world.propose("grace", "USER", valid_until=LATER)
    assert held is not None
    assert (held.roles, held.valid_until) == (("SERVICE", "USER"), LATER)
    held = world.propose("grace", "USER", valid_until=EARLIER)
    assert held is not None
    assert held.valid_until == LATER
    owner = world.propose("owner", "USER", valid_until=LATER)
    assert owner is not None
    assert (owner.roles, owner.valid_until) == (("OWNER", "USER"), None)


def test_a_local_user_gets_exactly_what_the_table_says(world: World) -> None:
    """Whichever of the two reactions to his being added came first."""
    world.propose("ada", "USER", local=True)
    held = world.propose("ada", "SERVICE", valid_until=LATER, local=True)
    assert held is not None
    assert (held.roles, held.valid_until) == (("SERVICE",), LATER)


@pytest.mark.parametrize("by", ["user:stranger", "user:grace", "service:identity"])
def test_who_may_not_grant_proposes_in_vain(world: World, by: str) -> None:
    """R5: judged by whoever imported, at the moment of granting."""
    assert world.propose("mary", "OWNER", by=by) is None
    assert world.propose("katherine", "USER", by="administrator:local") is not None


def test_what_cannot_be_granted_any_more_holds_up_nobody(world: World) -> None:
    world.tell(
        owners_id("home"), UserBlockedAtInstallation(installation_id="home", user_id="grace")
    )
    before = world.store.end()
    assert world.propose("grace", "OWNER") is None
    assert world.store.end() == before
    assert world.propose("mary", "OWNER") is not None


def test_the_forgotten_get_nothing(world: World) -> None:
    """R20."""
    world.tell("forgotten", UserForgotten(user_id="grace"))
    assert world.propose("grace", "USER") is None
    assert world.propose("grace", "USER", local=True) is None
