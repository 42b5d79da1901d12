"""Any sequence of commands about access, beside a plain model of the rules, on both stores."""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chargekey_access.domain.events import Role
from chargekey_access.domain.owners import Offer
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import ChargekeyError
from chargekey_common.postgres import Postgres

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
    joins,
    leaves,
    opened,
    refused,
    revoke,
)

PEOPLE = ("ann", "bo", "cy", "dag")
LOCAL = {"lise": 0, "lars": 1}
DAY = 86_400 * 10**9
ZONE = ZoneInfo("Europe/Oslo")

actors = st.sampled_from((*PEOPLE, *PEOPLE, ADMINISTRATOR))
people = st.sampled_from(PEOPLE)
users = st.sampled_from((*PEOPLE, *LOCAL))
sites = st.sampled_from((0, 1))
places = st.tuples(sites, st.sampled_from((False, False, True)))
holders = st.sampled_from((*PEOPLE, *PEOPLE, *LOCAL, "service", "operator"))
role_sets = st.sampled_from(
    (
        {"USER"},
        {"USER"},
        {"OWNER", "USER"},
        {"OWNER"},
        {"SERVICE"},
        {"SERVICE", "USER"},
        {"OPERATOR"},
        {"OPERATOR", "SERVICE"},
    )
)
# How many days from today a permission still holds; None for no end.
lengths = st.sampled_from((None, None, None, 0, 1, 2))

Place = tuple[int, bool]
"""A site by its number, or its charger."""


class Held(msgspec.Struct, frozen=True):
    """What the model says somebody holds somewhere."""

    roles: frozenset[Role]
    end: int | None


class Model(msgspec.Struct):
    """Who holds what, by holder and place; who is blocked, offered, managing, in a partner.

    Who owns a site and has yet to accept; who was invited anywhere, and who has accepted.
    """

    held: dict[tuple[str, Place], Held] = {}
    blocked: set[tuple[str, int]] = set()
    offers: dict[int, tuple[str, str]] = {}
    members: set[tuple[str, str]] = set()
    forgotten: set[str] = set()
    unaccepted: set[tuple[str, int]] = set()
    invited: set[str] = set()
    arrived: set[str] = set()
    now: int = 0

    def roles(self, who: str, place: Place) -> set[Role]:
        """Return what counts now at the place and above it, of his own and his partners'."""
        if (who, place[0]) in self.blocked:
            return set()
        found: set[Role] = set()
        mine = {who, *(partner for member, partner in self.members if member == who)}
        for (holder, at), held in self.held.items():
            here = at in (place, (place[0], False))
            if holder in mine and here and (held.end is None or self.now < held.end):
                found |= held.roles
        return found

    def may_give(self, who: str, place: Place) -> set[Role]:
        """R5."""
        everything: set[Role] = {"OWNER", "USER", "SERVICE", "OPERATOR"}
        at_site = self.roles(who, (place[0], False))
        if who == ADMINISTRATOR or "OWNER" in at_site:
            return everything
        may: set[Role] = {"USER"} if "OPERATOR" in at_site else set()
        return may | {"OWNER", "USER"} if "OWNER" in self.roles(who, place) else may

    def owners(self, site: int) -> set[str]:
        """Return the owners, blocked or not."""
        return {
            holder
            for (holder, at), held in self.held.items()
            if at == (site, False) and "OWNER" in held.roles
        }

    def would_be_the_last(self, who: str, site: int) -> bool:
        """R6."""
        unblocked = {one for one in self.owners(site) if (one, site) not in self.blocked}
        accepted = {one for one in unblocked if (one, site) not in self.unaccepted}
        return who in self.owners(site) and not (accepted or unblocked) - {who}

    def holds(self, who: str, place: Place, held: Held, *, invited: bool = False) -> None:
        """Let him hold it; an owner who may be nobody has yet to accept (R6)."""
        before = self.held.get((who, place))
        new_owner = not place[1] and "OWNER" in held.roles and who not in self.owners(place[0])
        if new_owner and (who in self.invited - self.arrived or (invited and before is None)):
            self.unaccepted.add((who, place[0]))
        if invited and before is None:
            self.invited.add(who)
        self.held[who, place] = held
        self.settle()

    def manager(self, site: int) -> str | None:
        """Return who manages the site: whoever holds OPERATOR on it (R3)."""
        for (holder, at), held in self.held.items():
            if at == (site, False) and "OPERATOR" in held.roles:
                return holder
        return None

    def settle(self) -> None:
        """End the offers that a side has lost its standing for; only owners accept to be it."""
        self.unaccepted = {(who, at) for who, at in self.unaccepted if who in self.owners(at)}
        for site, (giver, taker) in list(self.offers.items()):
            standing = giver in self.owners(site) and taker not in self.owners(site)
            gone = taker in self.forgotten or {(giver, site), (taker, site)} & self.blocked
            if not standing or gone:
                del self.offers[site]


class AccessLifecycle(RuleBasedStateMachine):
    """Commands against a real store, beside the model."""

    def __init__(self, place: Path | Postgres) -> None:
        super().__init__()
        self.real_clock = time.time_ns
        self.offset = 0
        self.clock = mock.patch.object(time, "time_ns", self.clock_now)
        self.clock.start()
        self.store = opened(place)
        self.access = Access(self.store)
        self.model = Model()

    def clock_now(self) -> int:
        return self.real_clock() + self.offset

    def teardown(self) -> None:
        again = Directory(self.store)
        for target in self.targets.values():
            assert again.holdings.on(target) == self.access.directory.holdings.on(target)
        self.store.close()
        self.clock.stop()

    @initialize()
    def world(self) -> None:
        self.sites = [a_site(self.access, "ann", "bo"), a_site(self.access, "cy")]
        chargers = [a_charger(self.access, site, f"CP-{site}") for site in self.sites]
        self.targets: dict[Place, Target] = {
            (number, on_charger): Target(site, charger if on_charger else None)
            for number, (site, charger) in enumerate(zip(self.sites, chargers, strict=True))
            for on_charger in (False, True)
        }
        self.partners = {
            "service": a_partner(self.access, members={"dag": True}, key="AAAA"),
            "operator": a_partner(
                self.access, "PAYMENT_OPERATOR", members={"cy": False}, key="BBBB"
            ),
        }
        self.model.members = {("dag", "service"), ("cy", "operator")}
        self.managers = {("dag", "service")}
        self.model.invited, self.model.arrived = {"bo"}, {"bo"}
        owner = Held(frozenset({"OWNER", "USER"}), None)
        for who, number in (("ann", 0), ("bo", 0), ("cy", 1)):
            self.model.held[who, (number, False)] = owner
        for who, number in LOCAL.items():
            a_local_user(self.access, self.sites[number], who)
            self.model.held[who, (number, False)] = Held(frozenset({"USER"}), None)

    def subject(self, holder: str) -> Subject:
        if holder in self.partners:
            return Subject(partner_id=self.partners[holder])
        return Subject(holder)

    def expect(self, wrong: set[str], command: Callable[[], object]) -> bool:
        """Run a command; it fails with one of what is wrong, if anything is."""
        end, refusal = self.store.end(), ""
        try:
            command()
        except ChargekeyError as error:
            refusal = error.code
        assert refusal in (wrong or {""})
        assert not refusal or self.store.end() == end
        return not refusal

    def last_day(self, days: int | None) -> tuple[str, int | None]:
        """Return that day as people write it, and the instant it ends."""
        if days is None:
            return "", None
        today = dt.datetime.fromtimestamp(self.model.now / 10**9, ZONE).date()
        day = today + dt.timedelta(days=days)
        midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), ZONE)
        return day.isoformat(), int(midnight.timestamp()) * 10**9

    def what_is_wrong(
        self, actor: str, holder: str, place: Place, wanted: frozenset[Role], end: int | None
    ) -> set[str]:
        """Return every reason for which this may not come to be held."""
        model, wrong = self.model, set()
        before = model.held.get((holder, place), Held(frozenset(), None))
        touched = before.roles ^ wanted
        if before.roles and before.end != end:
            touched = before.roles | wanted
        if not touched <= model.may_give(actor, place):
            wrong.add("role_not_grantable")
        if holder in model.forgotten:
            wrong.add("user_unknown")
        if LOCAL.get(holder, place[0]) != place[0]:
            wrong.add("local_user_elsewhere")
        if "OWNER" in wanted:
            wrong |= {"local_user_cannot_own"} if holder in LOCAL else set()
            wrong |= {"partner_cannot_own"} if holder in self.partners else set()
            wrong |= {"owner_without_end"} if end is not None else set()
        if "OPERATOR" in wanted:
            wrong |= {"not_a_payment_operator"} if holder != "operator" or place[1] else set()
            wrong |= {"operator_without_end"} if end is not None else set()
        if not place[1] and holder in PEOPLE:
            if "OWNER" in wanted - before.roles and (holder, place[0]) in model.blocked:
                wrong.add("user_blocked_here")
            if "OWNER" in before.roles - wanted and model.would_be_the_last(holder, place[0]):
                wrong.add("last_owner")
        return wrong

    @rule(
        actor=actors,
        holder=holders,
        place=places,
        roles=role_sets,
        days=lengths,
        invited=st.booleans(),
    )
    def grant(
        self,
        actor: str,
        holder: str,
        place: Place,
        roles: set[Role],
        days: int | None,
        invited: bool,
    ) -> None:
        self.model.now = self.clock_now()
        day, end = self.last_day(days)
        wrong = self.what_is_wrong(actor, holder, place, frozenset(roles), end)
        if self.expect(
            wrong,
            lambda: grant(
                self.access,
                by(actor),
                self.targets[place],
                self.subject(holder),
                *roles,
                valid_until=day,
                invited=invited and holder in PEOPLE,
            ),
        ):
            invited = invited and holder in PEOPLE
            self.model.holds(holder, place, Held(frozenset(roles), end), invited=invited)

    @rule(
        actor=actors,
        holder=holders,
        place=places,
        roles=st.none() | role_sets,
        days=st.sampled_from(("leave",)) | lengths,
    )
    def change(
        self,
        actor: str,
        holder: str,
        place: Place,
        roles: set[Role] | None,
        days: int | str | None,
    ) -> None:
        self.model.now = self.clock_now()
        before = self.model.held.get((holder, place))
        day, end = None, None if before is None else before.end
        if not isinstance(days, str):
            day, end = self.last_day(days)
        wanted = frozenset(roles or () if before is None else roles or before.roles)
        wrong = {"permission_unknown"}
        if before is not None:
            wrong = self.what_is_wrong(actor, holder, place, wanted, end)
        if self.expect(
            wrong,
            lambda: change(
                self.access,
                by(actor),
                self.targets[place],
                self.subject(holder),
                *(roles or ()),
                valid_until=day,
            ),
        ):
            self.model.holds(holder, place, Held(wanted, end))

    @rule(holder=people, site=sites)
    def invite_an_owner(self, holder: str, site: int) -> None:
        self.grant(ADMINISTRATOR, holder, (site, False), {"OWNER"}, None, invited=True)

    @rule(site=sites, chance=st.integers(0, 9))
    def an_owner_leaves(self, site: int, chance: int) -> None:
        owners = sorted(self.model.owners(site))
        who = owners[chance % len(owners)]
        self.take(who, who, (site, False))

    @rule(who=people)
    def accept_an_invitation(self, who: str) -> None:
        accepts(self.access, who)
        self.model.arrived |= {who}
        self.model.unaccepted = {each for each in self.model.unaccepted if each[0] != who}

    @rule(actor=actors, holder=holders, place=places)
    def revoke(self, actor: str, holder: str, place: Place) -> None:
        self.take(actor, holder, place)

    @rule(who=people, place=places)
    def leave(self, who: str, place: Place) -> None:
        self.take(who, who, place)

    def take(self, actor: str, holder: str, place: Place) -> None:
        self.model.now = self.clock_now()
        before = self.model.held.get((holder, place))
        own = actor == holder or (actor, holder) in self.managers
        wrong = {"permission_unknown"} if before is None else set()
        if before is not None and not own:
            may = self.model.may_give(actor, place)
            wrong |= set() if before.roles <= may else {"role_not_grantable"}
        if not place[1] and self.model.would_be_the_last(holder, place[0]):
            wrong.add("last_owner")
        if self.expect(
            wrong,
            lambda: revoke(self.access, by(actor), self.targets[place], self.subject(holder)),
        ):
            del self.model.held[holder, place]
            self.model.settle()

    @rule(actor=actors, site=sites, user=users)
    def block(self, actor: str, site: int, user: str) -> None:
        self.model.now = self.clock_now()
        wrong = {"user_unknown"} if user in self.model.forgotten else set()
        wrong |= {"block_local_user"} if user in LOCAL else set()
        his = self.model.held.get((user, (site, False)), Held(frozenset(), None)).roles
        if not his <= self.model.may_give(actor, (site, False)):
            wrong.add("role_not_grantable")
        if (user, site) not in self.model.blocked and self.model.would_be_the_last(user, site):
            wrong.add("last_owner")
        if self.expect(
            wrong,
            lambda: self.access.owners.block_user_at_installation(
                by(actor), installation_id=self.sites[site], user_id=user
            ),
        ):
            self.model.blocked.add((user, site))
            self.model.settle()

    @rule(site=sites, user=users)
    def unblock(self, site: int, user: str) -> None:
        wrong = {"user_unknown"} if user in self.model.forgotten else set()
        wrong |= {"block_local_user"} if user in LOCAL else set()
        if self.expect(
            wrong,
            lambda: self.access.owners.unblock_user_at_installation(
                by(ADMINISTRATOR), installation_id=self.sites[site], user_id=user
            ),
        ):
            self.model.blocked.discard((user, site))

    @rule(actor=actors, site=sites, taker=users)
    def offer(self, actor: str, site: int, taker: str) -> None:
        owners = self.model.owners(site)
        giver = actor
        if actor == ADMINISTRATOR and len(owners) == 1:
            [giver] = owners
        wrong = {"user_unknown"} if taker in self.model.forgotten else set()
        wrong |= {"local_user_cannot_own"} if taker in LOCAL else set()
        wrong |= {"already_owner"} if taker in owners else set()
        wrong |= {"no_owner_to_offer"} if giver not in owners else set()
        if {(giver, site), (taker, site)} & self.model.blocked:
            wrong.add("user_blocked_here")
        if self.expect(
            wrong,
            lambda: self.access.owners.offer_ownership(
                by(actor), installation_id=self.sites[site], user_id=taker
            ),
        ):
            self.model.offers[site] = (giver, taker)

    @rule(site=sites)
    def withdraw(self, site: int) -> None:
        wrong = set() if site in self.model.offers else {"ownership_not_offered"}
        if self.expect(
            wrong,
            lambda: self.access.owners.withdraw_ownership_offer(
                by(ADMINISTRATOR), installation_id=self.sites[site]
            ),
        ):
            del self.model.offers[site]

    @rule(site=sites, chance=actors)
    def accept(self, site: int, chance: str) -> None:
        giver, taker = self.model.offers.get(site, ("", ""))
        actor = taker or chance
        if self.expect(
            set() if taker else {"ownership_not_offered"},
            lambda: self.access.owners.accept_ownership(
                by(actor), installation_id=self.sites[site]
            ),
        ):
            place = (site, False)
            had = self.model.held.get((taker, place), Held(frozenset(), None)).roles
            rest = self.model.held.pop((giver, place)).roles - {"OWNER"}
            if rest:
                self.model.held[giver, place] = Held(rest, None)
            self.model.held[taker, place] = Held(had | {"OWNER", "USER"}, None)
            del self.model.offers[site]
            self.model.settle()

    @rule(who=people, partner=st.sampled_from(("service", "operator")))
    def join_or_leave_a_partner(self, who: str, partner: str) -> None:
        if (who, partner) in self.managers or who in self.model.forgotten:
            return
        act = leaves if (who, partner) in self.model.members else joins
        act(self.access, self.partners[partner], who)
        self.model.members ^= {(who, partner)}

    @rule(who=people, chance=st.integers(0, 5))
    def forget(self, who: str, chance: int) -> None:
        if chance or who in self.model.forgotten:
            return
        last = any(self.model.would_be_the_last(who, site) for site in (0, 1))
        if self.expect(
            {"last_owner"} if last else set(),
            lambda: self.access.forgetting.forget_user(by("service:identity"), user_id=who),
        ):
            model = self.model
            model.held = {key: value for key, value in model.held.items() if key[0] != who}
            model.members = {each for each in model.members if each[0] != who}
            model.blocked = {each for each in model.blocked if each[0] != who}
            self.managers = {each for each in self.managers if each[0] != who}
            model.forgotten.add(who)
            model.settle()

    @rule()
    def a_day_passes(self) -> None:
        self.offset += DAY

    @invariant()
    def everybody_holds_what_the_model_says(self) -> None:
        for place, target in self.targets.items():
            found = {
                (held.subject, frozenset(held.roles), held.valid_until)
                for _, held in self.access.directory.holdings.on(target)
            }
            assert found == {
                (self.subject(holder), held.roles, held.end)
                for (holder, at), held in self.model.held.items()
                if at == place
            }

    @invariant()
    def owners_blocks_offers_and_managers_are_the_models(self) -> None:
        for number, site in enumerate(self.sites):
            state = self.access.directory.holdings.owners(site)
            assert state.owners == self.model.owners(number)
            assert state.blocked == {who for who, at in self.model.blocked if at == number}
            offered = self.model.offers.get(number)
            assert state.offer == (None if offered is None else Offer(*offered))
            assert state.invited == {who for who, at in self.model.unaccepted if at == number}
            assert state.owners - state.blocked - state.invited
            manager = self.model.manager(number)
            told = self.access.directory.sites.installation(site).managed_by
            assert told == (None if manager is None else self.partners[manager])

    @invariant()
    def the_gate_lets_in_whom_the_model_does(self) -> None:
        self.model.now = self.clock_now()
        with self.access.directory.caught_up():
            self.compare_gate()

    def compare_gate(self) -> None:
        for who, (place, target) in itertools.product(
            (*PEOPLE, ADMINISTRATOR), self.targets.items()
        ):
            obj = (
                f"charger:{target.charger_id}"
                if place[1]
                else f"installation:{self.sites[place[0]]}"
            )
            caller = Caller(who if who == ADMINISTRATOR else f"user:{who}")
            roles = set() if who in self.model.forgotten else self.model.roles(who, place)
            expected = None
            if who != ADMINISTRATOR and not roles & {"OWNER", "OPERATOR"}:
                expected = "permission_denied"
            elif self.model.manager(place[0]) is not None and "OPERATOR" not in roles:
                expected = "managed_by_third_party"
            assert refused(self.access, caller, "access.GrantPermission", obj) == expected


@pytest.fixture
def fresh(place: Path | Postgres) -> Iterator[Callable[[], Path | Postgres]]:
    """Yield a maker of places that nobody was at."""
    numbers = itertools.count(1)
    with tempfile.TemporaryDirectory() as directory:

        def make() -> Path | Postgres:
            number = next(numbers)
            if isinstance(place, Postgres):
                return Postgres(place.dsn, f"{place.schema}_{number}")
            return Path(directory) / f"{number}.db"

        yield make


def test_access_is_what_a_plain_model_says_after_any_commands(
    fresh: Callable[[], Path | Postgres], place: Path | Postgres
) -> None:
    """R3, R4, R5, R6, R8, R9, R10, R12, R20."""
    run_state_machine_as_test(
        lambda: AccessLifecycle(fresh()),
        settings=settings(
            max_examples=4 if isinstance(place, Postgres) else 16,
            stateful_step_count=50,
            deadline=None,
            # Explaining traces every line, for longer than all the rest takes.
            phases=[each for each in Phase if each is not Phase.explain],
            suppress_health_check=list(HealthCheck),
        ),
    )
