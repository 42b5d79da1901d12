"""Sites, their operators and chargers in every order, against a plain model, on both stores."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chargekey_access.domain import charger, installation
from chargekey_access.domain.errors import (
    ExternalNeedsOperatorError,
    OperatorConnectedAlreadyError,
    OperatorNotConnectedError,
    PaymentOperatorConnectedError,
    PermissionUnknownError,
)
from chargekey_access.domain.permission import Subject, Target, permission_id
from chargekey_access.projections.directory import Directory
from chargekey_common.errors import ChargekeyError
from chargekey_common.postgres import Postgres

from .conftest import Access
from .given import now, opened
from .worlds import a_partner_called

WHICH = st.integers(0, 1)
TYPES = st.sampled_from(["NATIVE", "EXTERNAL"])
OVERRIDES = st.sampled_from(["INHERIT", "REQUIRED", "NOT_REQUIRED"])
# All there are (R3): who manages, who decides.
COMBINATIONS = {(False, "NATIVE"), (True, "NATIVE"), (True, "EXTERNAL")}

_examples = itertools.count()


@dataclasses.dataclass
class Site:
    """What a site is, in the words of the rules."""

    required: bool = True
    decides: str = "NATIVE"
    manager: int | None = None
    allowed: bool = False

    @property
    def overrides_count(self) -> bool:
        return self.manager is None or self.allowed

    def connect(self, manager: int, decides: str, *, allowed: bool) -> None:
        self.manager, self.decides, self.allowed = manager, decides, allowed

    def disconnect(self) -> None:
        self.manager, self.decides, self.required = None, "NATIVE", True


@dataclasses.dataclass
class Charger:
    """Where a charger stands and how it deviates."""

    at: int = 0
    override: str = "INHERIT"

    def locked(self, sites: list[Site]) -> bool:
        site = sites[self.at]
        if site.decides == "EXTERNAL":
            return True
        if site.overrides_count and self.override != "INHERIT":
            return self.override == "REQUIRED"
        return site.required


class Lifecycle(RuleBasedStateMachine):
    """Two sites, two operators, two chargers; whatever is refused changes nothing."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access

    @initialize()
    def begin(self) -> None:
        example = next(_examples)
        create = self.access.installations.create_installation
        self.site_ids = [create(now(), name="S", time_zone="Europe/Oslo").result for _ in "ab"]
        self.partner_ids = [f"operator-{example}-{each}" for each in "ab"]
        for each in self.partner_ids:
            a_partner_called(self.access, each, lookup_key=each)
        self.charger_ids = [
            self.access.chargers.add_charger(
                now(), installation_id=self.site_ids[0], ocpp_identity=f"CP-{example}-{each}"
            ).result
            for each in "ab"
        ]
        self.sites = [Site(), Site()]
        self.chargers = [Charger(), Charger()]

    def tried(self, command: Any, refusal: type[ChargekeyError] | None, **fields: Any) -> bool:
        """Do it, and return whether it was to be done."""
        if refusal is None:
            command(now(), **fields)
            return True
        end = self.access.store.end()
        with pytest.raises(refusal):
            command(now(), **fields)
        assert self.access.store.end() == end
        return False

    @rule(site=WHICH, required=st.booleans())
    def open_or_restrict(self, site: int, required: bool) -> None:
        """S3-13."""
        self.access.installations.set_authorisation_required(
            now(), installation_id=self.site_ids[site], required=required
        )
        self.sites[site].required = required

    @rule(site=WHICH, decides=TYPES)
    def let_decide(self, site: int, decides: Any) -> None:
        """R3."""
        alone = decides == "EXTERNAL" and self.sites[site].manager is None
        if self.tried(
            self.access.installations.set_authentication_type,
            ExternalNeedsOperatorError if alone else None,
            installation_id=self.site_ids[site],
            authentication_type=decides,
        ):
            self.sites[site].decides = decides

    @rule(site=WHICH, partner=WHICH, decides=TYPES, allowed=st.booleans())
    def connect(self, site: int, partner: int, decides: Any, allowed: bool) -> None:
        """R2, R3."""
        managed = self.sites[site].manager is not None
        if self.tried(
            self.access.installations.connect_operator,
            OperatorConnectedAlreadyError if managed else None,
            installation_id=self.site_ids[site],
            partner_id=self.partner_ids[partner],
            authentication_type=decides,
            overrides_allowed=allowed,
        ):
            self.sites[site].connect(partner, decides, allowed=allowed)

    @rule(site=WHICH, partner=WHICH)
    def grant_operator(self, site: int, partner: int) -> None:
        """R3: to hold the role is to manage the site."""
        manager = self.sites[site].manager
        granted = self.tried(
            self.access.permissions.grant_permission,
            OperatorConnectedAlreadyError if manager not in {None, partner} else None,
            target=Target(self.site_ids[site]),
            subject=Subject(partner_id=self.partner_ids[partner]),
            roles=["OPERATOR"],
            valid_until="",
        )
        if granted and manager is None:
            self.sites[site].connect(partner, "NATIVE", allowed=False)

    @rule(site=WHICH)
    def disconnect(self, site: int) -> None:
        """R9."""
        if self.tried(
            self.access.installations.disconnect_operator,
            OperatorNotConnectedError if self.sites[site].manager is None else None,
            installation_id=self.site_ids[site],
        ):
            self.sites[site].disconnect()

    @rule(site=WHICH, partner=WHICH)
    def revoke_operator(self, site: int, partner: int) -> None:
        """R9: the same as to disconnect it."""
        held = permission_id(
            Subject(partner_id=self.partner_ids[partner]), Target(self.site_ids[site])
        )
        if self.tried(
            self.access.permissions.revoke_permission,
            None if self.sites[site].manager == partner else PermissionUnknownError,
            permission_id=held,
        ):
            self.sites[site].disconnect()

    @rule(site=WHICH, allowed=st.booleans())
    def allow_overrides(self, site: int, allowed: bool) -> None:
        """R2."""
        if self.tried(
            self.access.installations.set_overrides_allowed,
            OperatorNotConnectedError if self.sites[site].manager is None else None,
            installation_id=self.site_ids[site],
            allowed=allowed,
        ):
            self.sites[site].allowed = allowed

    @rule(which=WHICH, override=OVERRIDES)
    def deviate(self, which: int, override: Any) -> None:
        """R1, R2."""
        known = self.chargers[which]
        counts = self.sites[known.at].overrides_count
        if self.tried(
            self.access.chargers.set_authorisation_override,
            None if counts else PaymentOperatorConnectedError,
            charger_id=self.charger_ids[which],
            override=override,
        ):
            known.override = override

    @rule(which=WHICH, site=WHICH)
    def move(self, which: int, site: int) -> None:
        """R11."""
        known = self.chargers[which]
        self.access.chargers.move_charger(
            now(), charger_id=self.charger_ids[which], installation_id=self.site_ids[site]
        )
        if known.at != site:
            known.at, known.override = site, "INHERIT"

    @invariant()
    def told_as_it_is(self) -> None:
        """R1, R2, R3: at once, and who manages is who holds the role."""
        self.assert_told(self.access.directory)

    def assert_told(self, directory: Directory) -> None:
        for key, model in zip(self.site_ids, self.sites, strict=True):
            site = directory.sites.installation(key)
            manager = None if model.manager is None else self.partner_ids[model.manager]
            assert (site.authorisation_required, site.authentication_type, site.managed_by) == (
                model.required,
                model.decides,
                manager,
            )
            operators = [
                held.subject.partner_id
                for _, held in directory.holdings.on(Target(key))
                if "OPERATOR" in held.roles
            ]
            assert operators == ([] if manager is None else [manager])
        for key, model_ in zip(self.charger_ids, self.chargers, strict=True):
            state = directory.sites.charger(key)
            site = directory.sites.installation(state.installation_id)
            assert state.installation_id == self.site_ids[model_.at]
            assert state.authorisation_override == model_.override
            assert state.authorisation_required(site) == model_.locked(self.sites)
            assert state.override_suspended(site) == (
                model_.override != "INHERIT" and not self.sites[model_.at].overrides_count
            )
        for at, key in enumerate(self.site_ids):
            expected = [each for each in self.chargers if each.at == at]
            assert directory.sites.open_chargers(key) == sum(
                not each.locked(self.sites) for each in expected
            )

    def teardown(self) -> None:
        """R3, R9: the combinations are all there ever were, event by event, and told again."""
        if not hasattr(self, "site_ids"):
            return
        store = self.access.store
        states: dict[str, installation.Installation] = {}
        for _, record, _ in store.read(0, 1_000_000):
            key = record.originator_id
            if key in self.site_ids:
                states[key] = reduce(installation.evolve, [record.event], states.get(key))
                site = states[key]
                assert (site.managed_by is not None, site.authentication_type) in COMBINATIONS
        self.assert_told(Directory(store))
        assert {key: store.load(installation.evolve, key).state for key in states} == states
        for key in self.charger_ids:
            loaded = store.load(charger.evolve, key).state
            assert loaded == self.access.directory.sites.charger(key)


def test_only_three_combinations_are_ever_reached(place: Path | Postgres) -> None:
    """R1, R2, R3, R9, R11: by whatever is done in whatever order."""
    store = opened(place)
    access = Access(store)
    run_state_machine_as_test(
        lambda: Lifecycle(access),
        settings=settings(
            max_examples=16 if isinstance(place, Path) else 4,  # the rules are the same
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    store.close()


def test_of_two_operators_that_are_connected_at_once_one_is(place: Path | Postgres) -> None:
    """R3: and the other one's owner hears that there is one."""
    store = opened(place)
    access = Access(store)
    site = access.installations.create_installation(now(), name="S", time_zone="Europe/Oslo").result
    for round_ in range(5):
        operators = [f"operator-{round_}-{each}" for each in "abcd"]
        for each in operators:
            a_partner_called(access, each, lookup_key=each)
        start = threading.Barrier(len(operators))

        def connect(partner_id: str, start: threading.Barrier = start) -> str:
            start.wait()
            try:
                access.installations.connect_operator(
                    now(),
                    installation_id=site,
                    partner_id=partner_id,
                    authentication_type="EXTERNAL",
                    overrides_allowed=False,
                )
            except OperatorConnectedAlreadyError:
                return ""
            return partner_id

        with ThreadPoolExecutor(len(operators)) as threads:
            connected = [each for each in threads.map(connect, operators) if each]
        assert connected == [access.directory.sites.installation(site).managed_by]
        [(_, held)] = access.directory.holdings.on(Target(site))
        assert [held.subject.partner_id] == connected
        access.installations.disconnect_operator(now(), installation_id=site)
        assert not access.directory.holdings.on(Target(site))
    store.close()
