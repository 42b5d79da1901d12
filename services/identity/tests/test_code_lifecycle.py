"""Any sequence of commands: a code has at most one holder, and replay agrees with the model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.keyed_ids import KeyedIds
from chargekey_identity.application import Identity
from chargekey_identity.domain import identification
from chargekey_identity.domain.errors import (
    CodeUnavailableError,
    IdentificationUnknownError,
    RfidInUseError,
)
from chargekey_identity.domain.events import EVENTS, IdentificationStatus, IdentificationType
from chargekey_identity.keyring import KeyRing
from chargekey_identity.projections.directory import Directory

INSTALLATIONS = ("home", "home", "away")
PINS = ("#1111", "#2222", "#3333")
CARDS = ("04A2B3C4", "04A2B3C4D5E6F7")


class Held(msgspec.Struct):
    """The model's identification."""

    installation: str
    kind: IdentificationType
    code: str
    status: IdentificationStatus

    @property
    def scope(self) -> tuple[str, str]:
        """What may exist once: a PIN at its installation, a card anywhere."""
        return (self.installation if self.kind == "PIN" else "", self.code)


class CodeLifecycle(RuleBasedStateMachine):
    """Commands against a real store, beside a dictionary."""

    held = Bundle("held")
    gone = Bundle("gone")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name)
        self.keyring = KeyRing(path / "keys.db", b"a master key of 16 bytes or more")
        self.store = EventStore("identity", path / "identity.db", EVENTS, self.keyring)
        self.identity = Identity(self.store, KeyedIds(b"a secret of 16 bytes or more"))
        self.model: dict[str, Held] = {}

    def teardown(self) -> None:
        self.store.close()
        self.keyring.close()
        self.directory.cleanup()

    @initialize()
    def users(self) -> None:
        self.homes = {
            self.identity.add_local_user(
                self.context(), installation_id=site, first_name="A", last_name="B", blocked=False
            ).result: site
            for site in INSTALLATIONS
        }

    @rule(target=held, number=st.integers(0, 2), code=st.sampled_from(PINS + CARDS))
    def add(self, number: int, code: str) -> object:
        user_id, site = list(self.homes.items())[number]
        wanted = Held(site, "PIN" if code in PINS else "RFID", code, "ACTIVE")

        def command() -> str:
            return self.identity.add_identification(
                self.context(),
                user_id=user_id,
                identification_type=wanted.kind,
                code=code,
                status="ACTIVE",
                valid_until="",
                time_zone="",
            ).result

        if self.taken(wanted):
            with pytest.raises((CodeUnavailableError, RfidInUseError)):
                command()
            return multiple()
        key = command()
        self.model[key] = wanted
        return key

    @rule(key=held, number=st.integers(0, 2))
    def change_code(self, key: str, number: int) -> None:
        known = self.model[key]
        codes = CARDS if known.kind == "RFID" else PINS
        code = codes[number % len(codes)]
        wanted = msgspec.structs.replace(known, code=code)
        if wanted.code != known.code and self.taken(wanted):
            with pytest.raises((CodeUnavailableError, RfidInUseError)):
                self.change(key, code=code)
            return
        self.change(key, code=code)
        self.model[key] = wanted

    @rule(key=held, status=st.sampled_from(("ACTIVE", "INACTIVE", "BLOCKED")))
    def change_status(self, key: str, status: IdentificationStatus) -> None:
        self.change(key, status=status)
        self.model[key].status = status

    @rule(target=gone, key=consumes(held))
    def remove(self, key: str) -> str:
        self.identity.remove_identification(self.context(), identification_id=key)
        del self.model[key]
        return key

    @rule(key=gone, code=st.sampled_from(PINS + CARDS))
    def what_is_removed_stays_so(self, key: str, code: str) -> None:
        with pytest.raises(IdentificationUnknownError):
            self.change(key, code=code)
        with pytest.raises(IdentificationUnknownError):
            self.identity.remove_identification(self.context(), identification_id=key)

    @invariant()
    def replay_agrees_with_the_model(self) -> None:
        for key, known in self.model.items():
            state = identification.existing(self.store.load(identification.evolve, key).state)
            assert (state.type, state.code.text, state.status) == (
                known.kind,
                known.code,
                known.status,
            )
            assert state.installation_id == (known.installation if known.kind == "PIN" else None)

    @invariant()
    def a_code_belongs_to_at_most_one_living_identification(self) -> None:
        directory = Directory(self.store)
        living = {
            key
            for user_id in getattr(self, "homes", {})
            for key, _ in directory.identifications(user_id)
        }
        assert living == set(self.model)
        keyed_ids = [
            identification.existing(self.store.load(identification.evolve, key).state).code.keyed_id
            for key in living
        ]
        assert len(set(keyed_ids)) == len(keyed_ids)

    def taken(self, wanted: Held) -> bool:
        return wanted.scope in {known.scope for known in self.model.values()}

    def change(
        self, key: str, *, code: str | None = None, status: IdentificationStatus | None = None
    ) -> None:
        self.identity.change_identification(
            self.context(),
            identification_id=key,
            code=code,
            status=status,
            valid_until=None,
            time_zone="",
        )

    def context(self) -> Context:
        return Context("administrator:local", new_id())


TestCodeLifecycle = CodeLifecycle.TestCase
TestCodeLifecycle.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
