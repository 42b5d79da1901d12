"""Any sequence of commands: a code has at most one holder, and replay agrees with the model."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable
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
    run_state_machine_as_test,
)

from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, EventStore, Work
from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_common.postgres import Postgres
from chargekey_identity.application.identifications import Details, Identifications, Regrouped
from chargekey_identity.application.users import Users
from chargekey_identity.domain import identification, reservation, user
from chargekey_identity.domain.errors import (
    AppNotByHandError,
    CodeInUseError,
    CodeUnavailableError,
    IdentificationUnknownError,
    InstallationMissingError,
    RfidInUseError,
)
from chargekey_identity.domain.events import (
    EVENTS,
    EmailVerified,
    IdentificationStatus,
    IdentificationType,
    PendingUserAdded,
)
from chargekey_identity.projections.directory import Directory
from chargekey_identity.tables.keyring import KeyRing
from chargekey_identity.tables.scans import ScanTables

from .conftest import MASTER, SECRET

LOCAL_AT = ("home", "home", "away")
# What means the same, in other spellings and as another type, too: a contract with 14
# hexadecimal digits is the number of a card.
CODES: tuple[tuple[IdentificationType, str], ...] = (
    ("PIN", "#1111"),
    ("PIN", "#2222"),
    ("PIN", "#333333"),
    ("RFID", "04A2B3C4"),
    ("RFID", "04:a2:b3:c4"),
    ("RFID", "DE8AAC12345678"),
    ("CREDIT_CARD", "04-A2-B3-C4"),
    ("CREDIT_CARD", "04A2B3C4D5E6F7"),
    ("VEHICLE_ID", "DE-8AA-C12345678"),
    ("VEHICLE_ID", "NL-TNM-C00122045-K"),
    ("VEHICLE_ID", "nltnmc00122045"),
    ("VEHICLE_ID", "VID:A0B2C3D4E5F6"),
    ("VEHICLE_ID", "a0:b2:c3:d4:e5:f6"),
    ("SMS", "+47 912 34 567"),
    ("SMS", "+4791234567"),
)
OF_TYPE: dict[IdentificationType, list[str]] = {
    kind: [code for each, code in CODES if each == kind] for kind, _ in CODES
}
TAKEN: dict[IdentificationType, type[Exception]] = {
    "PIN": CodeUnavailableError,
    "RFID": RfidInUseError,
    "CREDIT_CARD": RfidInUseError,
    "VEHICLE_ID": CodeInUseError,
    "SMS": CodeInUseError,
}
GROUPS = ("", "family", "fleet-1")

Place = Callable[[], "Path | Postgres"]


class Held(msgspec.Struct):
    """The model's identification."""

    user_id: str
    kind: IdentificationType
    code: str
    works_at: str | None
    status: IdentificationStatus = "ACTIVE"
    group: str = ""
    group_card: bool = False

    @property
    def one_of_a_kind(self) -> tuple[str, str, str]:
        """What may exist once: a PIN at its installation, everything else anywhere."""
        code_class, canonical = classify(self.code)
        return (code_class, canonical, str(self.works_at) if self.kind == "PIN" else "")


class CodeLifecycle(RuleBasedStateMachine):
    """Commands against a real store, beside a dictionary."""

    held = Bundle("held")
    gone = Bundle("gone")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.closing = contextlib.ExitStack()
        where = place()
        if isinstance(where, Postgres):
            PostgresRecorder.migrate(where)
            for make in (KeyRing.migrate, ScanTables.migrate, Attempts.migrate):
                make(where)
        keys, scans, attempts = (
            where if isinstance(where, Postgres) else where.with_name(name)
            for name in ("keys.db", "scans.db", "attempts.db")
        )
        keyring = KeyRing(keys, MASTER)
        self.closing.callback(keyring.close)
        self.store = EventStore("identity", where, EVENTS, keyring)
        self.closing.callback(self.store.close)
        self.directory = Directory(self.store)
        self.unknown = ScanTables(scans, MASTER)
        self.closing.callback(self.unknown.close)
        counted = Attempts(attempts)
        self.closing.callback(counted.close)
        self.identifications = Identifications(
            self.store, KeyedIds(SECRET), self.directory, self.unknown, counted
        )
        self.model: dict[str, Held] = {}
        self.homes: dict[str, str] = {}

    def teardown(self) -> None:
        self.closing.close()

    @initialize()
    def users(self) -> None:
        users = Users(self.store)
        for site in LOCAL_AT:
            added = users.add_local_user(
                context(), installation_id=site, first_name="A", last_name="B", blocked=False
            )
            self.homes[added.result] = site
        account = new_id()

        def decide(work: Work) -> None:
            loaded = work.load(user.evolve, account)
            work.record(loaded, PendingUserAdded(email="a@b.no"), EmailVerified())
            self.app = self.identifications.give_app(work, account)

        self.store.execute("make_account", type(None), context(), decide)
        self.homes[account] = ""

    @rule(
        target=held,
        number=st.integers(0, 3),
        wanted=st.sampled_from(CODES),
        asked=st.sampled_from(("", "home", "away")),
        group=st.sampled_from(GROUPS),
    )
    def add(
        self, number: int, wanted: tuple[IdentificationType, str], asked: str, group: str
    ) -> object:
        user_id, home = list(self.homes.items())[number]
        kind, code = wanted
        where = "" if home else asked
        works_at = (home if kind == "PIN" else None) if home else (asked or None)
        new = Held(user_id, kind, code, works_at, group=group)

        def command() -> str:
            return self.identifications.add_identification(
                context(),
                user_id=user_id,
                identification_type=kind,
                code=code,
                status="ACTIVE",
                valid_until="",
                time_zone="",
                details=Details(installation_id=where, group=group),
            ).result

        if kind == "PIN" and works_at is None:
            with pytest.raises(InstallationMissingError):
                command()
            return multiple()
        if self.taken(new):
            with pytest.raises(TAKEN[kind]):
                command()
            return multiple()
        key = command()
        self.model[key] = new
        return key

    @rule(key=held, number=st.integers(0, 5))
    def change_code(self, key: str, number: int) -> None:
        known = self.model[key]
        codes = OF_TYPE[known.kind]
        wanted = msgspec.structs.replace(known, code=codes[number % len(codes)])
        if wanted.one_of_a_kind != known.one_of_a_kind and self.taken(wanted):
            with pytest.raises(TAKEN[known.kind]):
                self.change(key, code=wanted.code)
            return
        self.change(key, code=wanted.code)
        self.model[key] = wanted

    @rule(key=held, status=st.sampled_from(("ACTIVE", "INACTIVE", "BLOCKED")))
    def change_status(self, key: str, status: IdentificationStatus) -> None:
        self.change(key, status=status)
        self.model[key].status = status

    @rule(
        key=held,
        label=st.none() | st.sampled_from(GROUPS),
        card=st.none() | st.booleans(),
    )
    def regroup(self, key: str, label: str | None, card: bool | None) -> None:
        self.change(key, regrouped=Regrouped(label, card))
        known = self.model[key]
        known.group = known.group if label is None else label
        known.group_card = known.group_card if card is None else card

    @rule(target=gone, key=consumes(held))
    def remove(self, key: str) -> str:
        self.identifications.remove_identification(context(), identification_id=key)
        del self.model[key]
        return key

    @rule(key=gone, wanted=st.sampled_from(CODES))
    def what_is_removed_stays_so(self, key: str, wanted: tuple[IdentificationType, str]) -> None:
        with pytest.raises(IdentificationUnknownError):
            self.change(key, code=wanted[1])
        with pytest.raises(IdentificationUnknownError):
            self.identifications.remove_identification(context(), identification_id=key)
        with pytest.raises(IdentificationUnknownError):
            self.identifications.reveal_code(context(), identification_id=key)

    @rule()
    def the_apps_is_not_for_hands(self) -> None:
        with pytest.raises(AppNotByHandError):
            self.change(self.app, code="APP:ABCDEFGH2345672A")
        with pytest.raises(AppNotByHandError):
            self.identifications.remove_identification(context(), identification_id=self.app)

    @rule(site=st.sampled_from(("home", "away")), length=st.integers(4, 8))
    def a_generated_pin_is_nobodys_there(self, site: str, length: int) -> None:
        pins = self.identifications.free_pins(site, count=3, pin_length=length)
        assert len(set(pins)) == 3
        held = {known.code for known in self.model.values() if known.works_at == site}
        assert not set(pins) & held

    @invariant()
    def replay_agrees_with_the_model(self) -> None:
        for key, known in self.model.items():
            state = identification.existing(self.store.load(identification.evolve, key).state)
            home = self.homes[known.user_id]
            group = identification.group(
                user.User("LOCAL", home) if home else user.User("ACCOUNT"),
                known.user_id,
                known.group,
                card=known.group_card,
            )
            assert (state.user_id, state.type, state.status, state.installation_id) == (
                known.user_id,
                known.kind,
                known.status,
                known.works_at,
            )
            assert state.code.text == classify(known.code)[1]
            assert state.group == group

    @invariant()
    def a_code_belongs_to_at_most_one_living_identification(self) -> None:
        living = {key for each in self.homes for key, _ in self.directory.identifications(each)}
        assert living == set(self.model) | ({self.app} if self.homes else set())
        codes = [
            identification.existing(self.store.load(identification.evolve, key).state).code
            for key in living
        ]
        assert len({code.keyed_id for code in codes}) == len(codes)

    @invariant()
    def exactly_what_is_held_is_reserved(self) -> None:
        for kind, code in CODES:
            for site in ("home", "away"):
                held = Held("", kind, code, site if kind == "PIN" else None)
                reserved = self.identifications.is_registered(code, site)
                assert reserved == self.taken(held)
        for key in self.model:
            state = identification.existing(self.store.load(identification.evolve, key).state)
            where = reservation.reservation_id(state.code)
            found = self.store.load(reservation.evolve, where).state
            assert found == reservation.CodeReservation(key)

    def taken(self, wanted: Held) -> bool:
        return wanted.one_of_a_kind in {known.one_of_a_kind for known in self.model.values()}

    def change(
        self,
        key: str,
        *,
        code: str | None = None,
        status: IdentificationStatus | None = None,
        regrouped: Regrouped = Regrouped(),  # noqa: B008 - it is immutable
    ) -> None:
        self.identifications.change_identification(
            context(),
            identification_id=key,
            code=code,
            status=status,
            valid_until=None,
            time_zone="",
            regrouped=regrouped,
        )


def context() -> Context:
    return Context("administrator:local", new_id())


@pytest.mark.parametrize(("store", "examples"), [("sqlite", 16), ("postgres", 4)])
def test_any_sequence_of_commands_leaves_a_code_with_one_holder(
    store: str, examples: int, request: pytest.FixtureRequest
) -> None:
    """R13, R15, R17, S0-26: every type, two installations, local users and one with an account."""
    with tempfile.TemporaryDirectory() as directory:
        numbers = itertools.count()

        def place() -> Path | Postgres:
            number = next(numbers)
            if store == "sqlite":
                return Path(directory) / str(number) / "identity.db"
            given: Postgres = request.getfixturevalue("postgres")
            return Postgres(given.dsn, f"{given.schema}_{number}")

        run_state_machine_as_test(
            lambda: CodeLifecycle(place),  # type: ignore[arg-type] # what makes one will do
            settings=settings(
                max_examples=examples,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
