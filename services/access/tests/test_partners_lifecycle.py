"""Partners, members, keys and requests in every order, against a plain model, on both stores."""

from __future__ import annotations

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chargekey_access.application.partners import Partners
from chargekey_access.domain import access_request
from chargekey_access.domain.access_request import LIFETIME
from chargekey_access.domain.errors import (
    AccessRequestAnsweredError,
    AccessRequestExpiredError,
    AccessRequestUnknownError,
    PartnerMemberUnknownError,
    PartnerUnknownError,
    RolesNotAskedError,
)
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import ChargekeyError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Work
from chargekey_common.postgres import Postgres

from .conftest import Access
from .given import a_site, by, grant, now, opened

USERS = ("uma", "ulf")
WHO = st.sampled_from(USERS)
SITE = st.integers(0, 1)
PARTNER = st.integers(0, 1)
# Who asks: a partner by its number, or a user by his name.
ASKING = PARTNER | WHO
ANSWERING = st.sampled_from([ADMINISTRATOR, "owner-0", "owner-1", *USERS])
ROLES = st.sets(st.sampled_from(["USER", "SERVICE"]), min_size=1)
SOME = st.sets(st.sampled_from(["USER", "SERVICE"]))
State = Literal["WAITING", "APPROVED", "DENIED", "WITHDRAWN", "EXPIRED"]

_examples = itertools.count()


@dataclasses.dataclass
class Organisation:
    """A partner, in the words of the rules."""

    key: str
    members: dict[str, bool] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Request:
    """A request, in the words of the rules."""

    id: str
    asking: int | str
    site: int | None
    roles: set[str]
    state: State = "WAITING"


class Lifecycle(RuleBasedStateMachine):
    """Two sites, two people who own neither, two partners; what is refused changes nothing.

    One of the people manages the first partner to begin with.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access

    @initialize()
    def begin(self) -> None:
        number = next(_examples)
        self.suffix = f"-{number}"
        self.sites = [a_site(self.access, f"owner-{each}{self.suffix}") for each in range(2)]
        for each in USERS:
            # Somebody whom access has heard of.
            a_site(self.access, self.user(each))
        self.held: dict[tuple[int | str, int], set[str]] = {}
        self.requests: list[Request] = []
        # One more than partners, so that keys come back to others.
        self.keys = {f"{number:03}{each}" for each in "ABC"}
        drawn = itertools.cycle(sorted(self.keys))
        self.partners = Partners(self.access.store, self.access.directory, draw=lambda: next(drawn))
        made = [
            self.partners.create_partner(
                now(), name="Volt", kind="SERVICE_PARTNER", contact="x", logo_url=""
            ).result
            for _ in range(2)
        ]
        self.partner_ids = [each.partner_id for each in made]
        self.model = [Organisation(each.lookup_key) for each in made]
        self.add(0, USERS[0], manages=True)
        self.give(USERS[0], 0, {"USER"})

    def user(self, name: str) -> str:
        return f"{name}{self.suffix}"

    def caller(self, name: str) -> Caller:
        return Caller(name if ":" in name else f"user:{self.user(name)}")

    def subject(self, who: int | str) -> Subject:
        if isinstance(who, str):
            return Subject(self.user(who))
        return Subject(partner_id=self.partner_ids[who])

    def tried(
        self, command: Any, refusal: type[ChargekeyError] | None, caller: str, **fields: Any
    ) -> Any:
        """Do it and return the answer, or see it refused and nothing stored."""
        if refusal is None:
            return command(by(self.caller(caller)), **fields)
        end = self.access.store.end()
        with pytest.raises(refusal):
            command(by(self.caller(caller)), **fields)
        assert self.access.store.end() == end
        return None

    @rule(which=PARTNER)
    def rotate(self, which: int) -> None:
        """R8: to a key that nobody has."""
        taken = {each.key for each in self.model}
        fresh = self.partners.rotate_lookup_key(now(), partner_id=self.partner_ids[which]).result
        assert fresh in self.keys - taken
        self.model[which].key = fresh

    @rule(which=PARTNER, who=WHO, manages=st.booleans())
    def add(self, which: int, who: str, manages: bool) -> None:
        self.partners.add_partner_member(
            now(), partner_id=self.partner_ids[which], user_id=self.user(who), manages=manages
        )
        self.model[which].members[who] = manages

    @rule(which=PARTNER, who=WHO)
    def remove(self, which: int, who: str) -> None:
        members = self.model[which].members
        self.tried(
            self.partners.remove_partner_member,
            None if who in members else PartnerMemberUnknownError,
            ADMINISTRATOR,
            partner_id=self.partner_ids[which],
            user_id=self.user(who),
        )
        members.pop(who, None)

    @rule(who=ASKING, site=SITE, roles=ROLES)
    def give(self, who: int | str, site: int, roles: set[Any]) -> None:
        """R4: exactly these, whatever was held."""
        grant(self.access, now(), Target(self.sites[site]), self.subject(who), *roles)
        self.held[who, site] = set(roles)

    @rule(who=ASKING, site=SITE)
    def revoke(self, who: int | str, site: int) -> None:
        if (who, site) in self.held:
            held = permission_id(self.subject(who), Target(self.sites[site]))
            self.access.permissions.revoke_permission(now(), permission_id=held)
            del self.held[who, site]

    @rule(who=ASKING, site=SITE | st.none(), roles=ROLES)
    def ask(self, who: int | str, site: int | None, roles: set[Any]) -> None:
        """R8: of one subject one request waits at an installation."""
        answer = self.access.access_requests.request_access(
            now(),
            subject=self.subject(who),
            installation_id=None if site is None else self.sites[site],
            roles=roles,
        ).result
        for each in self.requests:
            if site is not None and (each.asking, each.site, each.state) == (who, site, "WAITING"):
                if each.roles == roles:
                    assert answer == each.id
                    return
                each.state = "WITHDRAWN"
        self.requests.append(Request(answer, who, site, roles))

    @rule(who=ASKING, site=SITE | st.none(), roles=ROLES)
    def have_asked_long_ago(self, who: int | str, site: int | None, roles: set[Any]) -> None:
        def decide(work: Work) -> str:
            asked = work.load(access_request.evolve, new_id())
            events = access_request.ask(
                self.subject(who),
                installation_id=None if site is None else self.sites[site],
                roles=tuple(sorted(roles)),
                now=work.at - LIFETIME,
            )
            work.record(asked, *events)
            return asked.id

        made = self.access.store.execute("given", str, now(), decide).result
        self.requests.append(Request(made, who, site, roles, "EXPIRED"))

    def answering(self, action: str, caller: str, site: int) -> bool:
        """R5: only an owner of that site comes to answer, whoever else is in a partner."""
        allowed = caller in {ADMINISTRATOR, f"owner-{site}"}
        refusal = self.access.check.refusal(
            self.caller(caller), action, f"installation:{self.sites[site]}"
        )
        assert (refusal is None) == allowed
        return allowed

    def refused(self, request: Request, site: int, *, by_link: bool) -> type[ChargekeyError] | None:
        if request.site != site and not (by_link and request.site is None):
            return AccessRequestUnknownError
        return self.answered(request)

    def answered(self, request: Request) -> type[ChargekeyError] | None:
        if request.state == "EXPIRED":
            return AccessRequestExpiredError
        return None if request.state == "WAITING" else AccessRequestAnsweredError

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), caller=ANSWERING, site=SITE, by_link=st.booleans(), roles=SOME)
    def approve(self, data: Any, caller: str, site: int, by_link: bool, roles: set[Any]) -> None:
        """R8, S3-48: what is granted was asked for, and comes to what is held."""
        request = data.draw(st.sampled_from(self.requests))
        if self.answering("access.ApproveAccessRequest", caller, site):
            self.approved(request, caller, site, by_link=by_link, roles=roles)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), site=SITE, roles=SOME)
    def approve_where_it_was_asked(self, data: Any, site: int, roles: set[Any]) -> None:
        """R8: by its owner, who was sent the link."""
        request = data.draw(st.sampled_from(self.waiting()))
        site = site if request.site is None else request.site
        self.approved(request, f"owner-{site}", site, by_link=True, roles=roles & request.roles)

    def waiting(self) -> list[Request]:
        return [each for each in self.requests if each.state == "WAITING"]

    def approved(
        self, request: Request, caller: str, site: int, *, by_link: bool, roles: set[Any]
    ) -> None:
        more = None if roles <= request.roles else RolesNotAskedError
        approved = self.tried(
            self.access.access_requests.approve_access_request,
            self.refused(request, site, by_link=by_link) or more,
            caller,
            access_request_id=request.id,
            by_link=by_link,
            target=Target(self.sites[site]),
            roles=roles,
            valid_until="",
        )
        if approved is not None:
            request.state = "APPROVED"
            self.held.setdefault((request.asking, site), set()).update(roles or request.roles)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), caller=ANSWERING, site=SITE, by_link=st.booleans())
    def deny(self, data: Any, caller: str, site: int, by_link: bool) -> None:
        request = data.draw(st.sampled_from(self.requests))
        if not self.answering("access.DenyAccessRequest", caller, site):
            return
        denied = self.tried(
            self.access.access_requests.deny_access_request,
            self.refused(request, site, by_link=by_link),
            caller,
            access_request_id=request.id,
            by_link=by_link,
            installation_id=self.sites[site],
        )
        if denied is not None:
            request.state = "DENIED"

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), caller=ANSWERING)
    def withdraw(self, data: Any, caller: str) -> None:
        request = data.draw(st.sampled_from(self.requests))
        asking = request.asking
        own = asking == caller or (
            isinstance(asking, int) and self.model[asking].members.get(caller, False)
        )
        refusal = self.access.check.refusal(
            self.caller(caller), "access.WithdrawAccessRequest", f"access_request:{request.id}"
        )
        assert (refusal is None) == (own or caller == ADMINISTRATOR)
        if refusal is not None:
            return
        withdrawn = self.tried(
            self.access.access_requests.withdraw_access_request,
            self.answered(request),
            caller,
            access_request_id=request.id,
        )
        if withdrawn is not None:
            request.state = "WITHDRAWN"

    @invariant()
    def told_as_it_is(self) -> None:
        self.assert_told(self.access.directory)

    @invariant()
    def members_hold_what_their_partners_hold_and_nobody_else(self) -> None:
        """R8: live."""
        for who in USERS:
            for number, site in enumerate(self.sites):
                held = set(self.held.get((who, number), ()))
                for which, each in enumerate(self.model):
                    if who in each.members:
                        held |= self.held.get((which, number), set())
                refusal = self.access.check.refusal(
                    self.caller(who), "access.ListPermissions", f"installation:{site}"
                )
                assert (refusal is None) == ("SERVICE" in held)

    def assert_told(self, directory: Directory) -> None:
        taken = {each.key for each in self.model}
        for key in self.keys - taken:
            with pytest.raises(PartnerUnknownError):
                directory.partners.find(key)
        for partner_id, model in zip(self.partner_ids, self.model, strict=True):
            assert directory.partners.find(model.key) == partner_id
            members = {self.user(who): manages for who, manages in model.members.items()}
            assert directory.partners.partner(partner_id).members == members
            for who in USERS:
                mine = directory.partners.of_user(self.user(who))
                assert mine.get(partner_id) == model.members.get(who)
        at = time.time_ns()
        for request in self.requests:
            asked = directory.access_requests.access_request(request.id).request
            assert asked.state(now=at) == request.state
        for number, site in enumerate(self.sites):
            waiting = [
                key
                for key in directory.access_requests.ever_at(site)
                if directory.access_requests.access_request(key).request.waits(now=at)
            ]
            assert waiting == [
                each.id for each in self.requests if (each.site, each.state) == (number, "WAITING")
            ]
            held = {
                permission.subject: set(permission.roles)
                for _, permission in directory.holdings.on(Target(site))
                if "OWNER" not in permission.roles
            }
            assert held == {
                self.subject(who): roles for (who, at_), roles in self.held.items() if at_ == number
            }

    def teardown(self) -> None:
        """What a restarted service reads is the same."""
        self.assert_told(Directory(self.access.store))


def test_partners_and_requests_for_access_are_at_any_time_as_a_plain_model_says(
    place: Path | Postgres,
) -> None:
    """R4, R5, R8, S3-44, S3-47..S3-49: whatever is done in whatever order."""
    store = opened(place)
    access = Access(store)
    run_state_machine_as_test(
        lambda: Lifecycle(access),
        settings=settings(
            max_examples=20 if isinstance(place, Path) else 4,  # the rules are the same
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    store.close()
