"""Erasing somebody: whatever dies in between, nothing of him is left in the end (R20)."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent
from nats.aio.client import Client

from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import DomainEvent
from chargekey_common.eventstore.store import (
    CommandIdReusedError,
    Context,
    EventStore,
    Reaction,
    Work,
)
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.process import cancel
from chargekey_common.published.access import UserForgotten
from chargekey_common.published.identity import IdentificationKey
from chargekey_common.relay import Relay, relayed
from chargekey_identity.application.privacy import Privacy
from chargekey_identity.domain.errors import UserUnknownError
from chargekey_identity.domain.events import (
    EVENTS,
    CodeReleased,
    CodeReserved,
    CodeRevealed,
    EmailReleased,
    EmailReserved,
    IdentificationAdded,
    IdentificationRemoved,
    InvitationAccepted,
    InvitationCreated,
    InvitationRevoked,
    LocalUserAdded,
    PendingUserAdded,
    UserErased,
    UserExported,
    UserRenamed,
)
from chargekey_identity.projections.belongings import Belongings
from chargekey_identity.projections.directory import Directory
from chargekey_identity.published import publication
from chargekey_identity.reactions import on_user_forgotten
from chargekey_identity.tables.keyring import KeyRing

from .conftest import MASTER

ADMINISTRATOR = "administrator:local"
SECRETS = (b"Grace", b"Hopper", b"grace@navy.example", b"#83520417", b"5eed5eed5eed5eed")


class Notes:
    """A table beside the events."""

    def __init__(self) -> None:
        self.about = ["grace", "ada"]
        self.codes = {"code", "another"}

    def forget(self, user_id: str) -> None:
        self.about = [each for each in self.about if each != user_id]

    def forget_codes(self, reservation_ids: Iterable[str]) -> None:
        self.codes.difference_update(reservation_ids)


class World:
    """Identity's stores, closed and opened again as its process would."""

    def __init__(self, place: Path | Postgres, notes: Notes) -> None:
        self.place = place
        self.notes = notes
        self.opened = ExitStack()
        self.open()

    def open(self) -> None:
        keys = _beside(self.place, "keys")
        if isinstance(self.place, Postgres) and isinstance(keys, Postgres):
            EventStore.migrate(self.place)
            KeyRing.migrate(keys)
        self.keyring = KeyRing(keys, MASTER)
        self.opened.callback(self.keyring.close)
        self.store = EventStore("identity", self.place, EVENTS, self.keyring)
        self.opened.callback(self.store.close)
        self.privacy = Privacy(
            self.store,
            Directory(self.store),
            self.keyring,
            [self.forget],
            self.notes.forget_codes,
        )
        self.owned = self.privacy.owned

    def close(self) -> None:
        self.opened.close()

    def forget(self, user_id: str) -> None:
        self.notes.forget(user_id)

    def start_again(self, *, ledger: tuple[str, ...] = ()) -> None:
        self.close()
        self.open()
        self.privacy.finish(ledger)

    def tell(self, aggregate_id: str, *events: DomainEvent) -> None:
        """Record events as commands of others would."""

        def decide(work: Work) -> None:
            work.record(work.load(_last, aggregate_id), *events)

        self.store.execute(
            "tell", type(None), Context(ADMINISTRATOR, f"tell-{self.store.end()}"), decide
        )

    def happened(self, *aggregates: str) -> list[str]:
        return [
            type(record.event).__name__ for key in aggregates for record in self.store.records(key)
        ]

    def assert_gone(self) -> None:
        """Nothing of Grace can be read, or is held; Ada has what she had."""
        assert self.happened("grace")[-1] == "UserErased"
        assert self.happened("grace").count("UserErased") == 1
        assert self.happened("pin", "code", "mail", "invited") == [
            "IdentificationAdded",
            "IdentificationRemoved",
            "CodeReserved",
            "CodeReleased",
            "EmailReserved",
            "EmailReleased",
            "InvitationCreated",
            "InvitationRevoked",
        ]
        assert "grace" in self.keyring.destroyed()
        assert (self.notes.about, self.notes.codes) == (["ada"], {"another"})
        [added, *_] = self.store.records("grace")
        assert added.event == PendingUserAdded(email="")
        assert self.owned.of("grace").gone
        assert not list(self.owned.of("ada").left)
        assert self.store.records("ada")[0].event.first_name == "Ada"


def _last(_: DomainEvent | None, event: DomainEvent) -> DomainEvent:
    return event


def _beside(place: Path | Postgres, name: str) -> Path | Postgres:
    if isinstance(place, Postgres):
        return msgspec.structs.replace(place, schema=f"{place.schema}_{name}")
    return place.with_name(f"{name}.db")


def a_world(place: Path | Postgres) -> World:
    """Return one with Ada, a local user, and Grace, who has one of everything."""
    world = World(place, Notes())
    world.tell(
        "ada",
        LocalUserAdded(
            installation_id="home", first_name="Ada", last_name="Lovelace", blocked=False
        ),
    )
    world.tell("grace", PendingUserAdded(email="grace@navy.example"))
    world.tell("grace", UserRenamed(first_name="Grace", last_name="Hopper"))
    world.tell("mail", EmailReserved(user_id="grace"))
    world.tell("code", CodeReserved(user_id="grace", identification_id="pin"))
    world.tell(
        "pin",
        IdentificationAdded(
            user_id="grace",
            type="PIN",
            installation_id="home",
            status="ACTIVE",
            valid_until=None,
            code="#83520417",
            keyed_id="5eed5eed5eed5eed",
        ),
    )
    world.tell(
        "invited",
        InvitationCreated(
            user_id="grace",
            installation_id="home",
            charger_id=None,
            permission_id="p",
            partner_id=None,
            expires_at=9,
        ),
    )
    return world


@pytest.fixture
def world(place: Path | Postgres) -> Iterator[World]:
    with closing(a_world(place)) as world:
        yield world


def ask(command_id: str = "erase-1") -> Context:
    return Context(ADMINISTRATOR, command_id)


def test_an_erasure_ends_all_he_has_in_one_save_and_makes_it_unreadable(world: World) -> None:
    """R20: permissions revoked, personal data and codes unreadable, lookup rows deleted."""
    before = world.store.end()
    world.privacy.erase(ask(), user_id="grace")
    told = world.store.read(before, 100)
    assert {record.cause for _, record, _ in told} == {"erase-1"}
    assert {record.actor for _, record, _ in told} == {ADMINISTRATOR}
    assert {type(record.event) for _, record, _ in told} == {
        IdentificationRemoved,
        CodeReleased,
        EmailReleased,
        InvitationRevoked,
        UserErased,
    }
    world.assert_gone()


async def test_no_code_is_told_of_what_is_saved_after_its_user_was_erased(
    world: World, nats_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R20: a save may wait for its database meanwhile, and nothing refuses it then."""
    sealed, erased = threading.Event(), threading.Event()
    insert = world.store.recorder.insert_events

    def insert_late(events: Sequence[StoredEvent], **how: Any) -> Sequence[int] | None:
        if events and events[0].originator_id == "late":
            sealed.set()
            assert erased.wait(20)
        return insert(events, **how)

    monkeypatch.setattr(world.store.recorder, "insert_events", insert_late)
    card = IdentificationAdded(
        user_id="grace",
        type="RFID",
        installation_id=None,
        status="ACTIVE",
        valid_until=None,
        code="04A1B2C3D4",
        keyed_id="feedfeedfeedfeed",
    )
    relaying = asyncio.create_task(Relay(nats_client, world.store, publication).run())
    saving = asyncio.create_task(asyncio.to_thread(world.tell, "late", card))
    assert await asyncio.to_thread(sealed.wait, 20)
    await asyncio.to_thread(world.privacy.erase, ask(), user_id="grace")
    # All before is told, so that the relay hears of this as it is saved.
    await told(nats_client, world.store)
    erased.set()
    await saving
    await told(nats_client, world.store)
    info = await nats_client.jetstream().stream_info("IDENTITY", subjects_filter=">")
    key = IdentificationKey(identification_id="late", keyed_id=card.keyed_id, alias="")
    assert key.subject not in (info.state.subjects or {})
    await cancel(relaying)


async def told(client: Client, store: EventStore) -> None:
    """Return once the stream tells all of the store."""
    async with asyncio.timeout(20):
        while (await relayed(client, store)).behind != 0:
            await asyncio.sleep(0.01)


def test_what_ended_before_is_not_ended_again(world: World) -> None:
    world.tell("pin", IdentificationRemoved(user_id="grace"))
    world.tell("code", CodeReleased(user_id="grace", identification_id="pin"))
    # The code and the address are somebody else's by now.
    world.tell("code", CodeReserved(user_id="ada", identification_id="hers"))
    world.tell("invited", InvitationAccepted(user_id="grace"))
    world.privacy.erase(ask(), user_id="grace")
    assert world.happened("pin", "invited", "code") == [
        "IdentificationAdded",
        "IdentificationRemoved",
        "InvitationCreated",
        "InvitationAccepted",
        "CodeReserved",
        "CodeReleased",
        "CodeReserved",
    ]
    assert list(world.owned.of("ada").left) == ["code"]


class DiedError(Exception):
    """The process ended just here."""


def _die(*_: object, **__: object) -> None:
    raise DiedError


@pytest.mark.parametrize("again", ["erase-1", "erase-2", "start"])
@pytest.mark.parametrize("step", ["save", "tables", "destroy", "scrub", "sweep"])
def test_whatever_dies_between_two_steps_the_same_command_a_new_one_or_a_start_finishes_it(
    world: World, step: str, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R20: an erasure can be repeated at every point."""
    with monkeypatch.context() as dying:
        match step:
            case "save":  # which was done, and whose answer was lost
                dying.setattr(world.privacy, "_finish", _die)
            case "tables":
                dying.setattr(world.notes, "forget", _die)
            case "destroy":
                dying.setattr(world.keyring, "destroy", _die)
            case "scrub":
                dying.setattr(world.keyring._db, "scrub", _die)  # noqa: SLF001 - within a step
            case "sweep":
                destroy = world.keyring.destroy

                def destroy_and_die(user_id: str) -> None:
                    destroy(user_id)
                    raise DiedError

                dying.setattr(world.keyring, "destroy", destroy_and_die)
        with pytest.raises(DiedError):
            world.privacy.erase(ask(), user_id="grace")
    if again == "start":
        world.start_again()
    else:
        world.close()
        world.open()
        world.privacy.erase(ask(again), user_id="grace")
    world.assert_gone()


def test_what_is_added_at_the_same_moment_goes_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be sealed for him once his key is destroyed, so one more look is enough."""
    destroy = world.keyring.destroy

    def destroy_after_another_added(user_id: str) -> None:
        world.tell("late code", CodeReserved(user_id="grace", identification_id="late"))
        destroy(user_id)

    monkeypatch.setattr(world.keyring, "destroy", destroy_after_another_added)
    world.privacy.erase(ask(), user_id="grace")
    world.assert_gone()
    assert world.happened("late code") == ["CodeReserved", "CodeReleased"]
    with pytest.raises(UserUnknownError):
        world.tell("grace", UserRenamed(first_name="Grace", last_name="Again"))


def test_what_has_ended_is_kept_in_mind_no_longer(world: World) -> None:
    """So that what a user has by now is asked in no time, whatever he had."""
    everything = ("mail", "code", "pin", "invited")
    assert set(world.owned.of("grace").left) == set(everything)
    for number in range(3):
        world.tell("code", CodeReleased(user_id="grace", identification_id="pin"))
        world.tell("code", CodeReserved(user_id="grace", identification_id=f"pin-{number}"))
    world.tell("pin", IdentificationRemoved(user_id="grace"))
    world.tell("invited", InvitationAccepted(user_id="grace"))
    assert world.owned.of("grace").left == ("mail", "code")
    world.privacy.erase(ask(), user_id="grace")
    assert world.owned.of("grace") == Belongings(home=None, erased=True, left=())
    assert world.owned.of("ada").home == "home"


def test_an_export_tells_of_what_has_ended_too(world: World) -> None:
    world.tell("pin", IdentificationRemoved(user_id="grace"))
    world.tell("invited", InvitationRevoked(user_id="grace"))
    document = json.loads(world.privacy.export(ask("export-1"), user_id="grace").result)
    assert document["identifications"] == []
    told = {(each["event"], each["about"]) for each in document["events"]}
    assert {("IdentificationRemoved", "pin"), ("InvitationRevoked", "invited")} <= told


def forgotten(number: int) -> Reaction:
    """Return what a reaction to somebody forgotten just now is told."""
    handled = Handled("identity-on-user-forgotten", Position("access", "0" * 16, number))
    return Reaction(handled, f"event-{number}", time.time_ns(), "service:access")


async def test_a_mass_erasure_waits_for_each_command_and_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded who asked, and whoever is quick is not waited for."""
    monkeypatch.setattr(on_user_forgotten, "HEAD_START", 600.0)
    on = on_user_forgotten.on_user_forgotten(world.privacy)
    # Recorded before access is heard.
    await asyncio.to_thread(world.privacy.erase, ask("first"), user_id="ada")
    await on.react(UserForgotten(user_id="ada"), forgotten(1))
    # Heard first.
    reacting = asyncio.ensure_future(on.react(UserForgotten(user_id="grace"), forgotten(2)))
    done, _ = await asyncio.wait({reacting}, timeout=0.2)
    assert not done
    await asyncio.to_thread(world.privacy.erase, ask("second"), user_id="grace")
    await asyncio.wait_for(reacting, 30)
    assert world.store.records("grace")[-1].cause == "second"
    assert world.store.records("grace")[-1].actor == ADMINISTRATOR
    # Of another life: nobody can.
    await on.react(UserForgotten(user_id="nobody"), forgotten(3))


async def test_a_command_that_was_lost_is_waited_for_so_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_user_forgotten, "HEAD_START", 0.1)
    on = on_user_forgotten.on_user_forgotten(world.privacy)
    await on.react(UserForgotten(user_id="grace"), forgotten(1))
    world.assert_gone()
    assert world.store.records("grace")[-1].actor == "identity-on-user-forgotten"


def test_nobody_can_be_erased_who_never_was(world: World) -> None:
    with pytest.raises(UserUnknownError):
        world.privacy.erase(ask(), user_id="nobody")
    assert "nobody" not in world.keyring.destroyed()


def test_a_command_id_erases_and_exports_nobody_else(world: World) -> None:
    """The answer of the first one must not destroy the second one's key."""
    world.privacy.export(ask("export-1"), user_id="grace")
    with pytest.raises(CommandIdReusedError):
        world.privacy.export(ask("export-1"), user_id="ada")
    world.privacy.erase(ask(), user_id="grace")
    with pytest.raises(CommandIdReusedError):
        world.privacy.erase(ask(), user_id="ada")
    world.assert_gone()


def test_an_erasure_that_access_began_goes_on_without_its_command(world: World) -> None:
    where = Position("access", "0" * 16, 7)
    reaction = Reaction(Handled("identity-on-user-forgotten", where), "event", 1, "service:access")
    for _ in range(2):
        world.privacy.react_to_user_forgotten("grace", reaction)
        world.assert_gone()
    after = Reaction(
        Handled("identity-on-user-forgotten", msgspec.structs.replace(where, number=8)), "e2", 1, ""
    )
    world.privacy.react_to_user_forgotten("of another life", after)
    assert world.store.handled("identity-on-user-forgotten") == after.handled.position


@pytest.mark.parametrize("restored", ["events", "keys", "both"])
def test_a_backup_from_before_brings_nothing_back(tmp_path: Path, restored: str) -> None:
    """R20: what stands in the ledger, or in either database, is erased again at the start."""
    with closing(a_world(tmp_path / "identity.db")) as world:
        world.close()
        for name in ("identity.db", "keys.db"):
            _copy(tmp_path / name, tmp_path / f"backup-{name}")
        world.open()
        world.privacy.erase(ask(), user_id="grace")
        ledger = tuple(world.keyring.destroyed())
        world.close()
        for name in {"events": ("identity.db",), "keys": ("keys.db",)}.get(
            restored, ("identity.db", "keys.db")
        ):
            shutil.copy(tmp_path / f"backup-{name}", tmp_path / name)
        world.open()
        assert world.store.records("grace")[0].event.email == (
            "" if restored == "events" else "grace@navy.example"
        )
        world.start_again(ledger=ledger)
        world.assert_gone()
        before = world.store.end()
        world.start_again(ledger=ledger)
        assert world.store.end() == before  # once is enough


def test_whom_the_ledger_names_and_nobody_knows_is_erased_all_the_same(world: World) -> None:
    """A backup from before he was added at all."""
    before = world.store.end()
    world.start_again(ledger=("someone",))
    assert world.store.end() == before
    with pytest.raises(UserUnknownError):
        world.tell("someone", PendingUserAdded(email="some@one.example"))


def test_nothing_readable_is_in_the_files_once_he_is_erased(tmp_path: Path) -> None:
    """The data key is gone from its file, so what is sealed under it says nothing."""
    with closing(a_world(tmp_path / "identity.db")) as world:
        world.privacy.erase(ask(), user_id="grace")
        world.close()
        for file in tmp_path.iterdir():
            content = file.read_bytes() if file.is_file() else b""
            assert not [each for each in SECRETS if each in content], file


def test_an_export_tells_everything_and_records_that_it_did(world: World) -> None:
    world.tell("pin", CodeRevealed(user_id="grace"))
    answer = world.privacy.export(ask("export-1"), user_id="grace")
    document = json.loads(answer.result)
    assert document["user_id"] == "grace"
    assert document["profile"]["email"] == "grace@navy.example"
    assert (document["profile"]["first_name"], document["profile"]["last_name"]) == (
        "Grace",
        "Hopper",
    )
    [held] = document["identifications"]
    assert (held["id"], held["type"], held["code"]) == ("pin", "PIN", "#83520417")
    told = [(each["event"], each["about"], each["by"]) for each in document["events"]]
    assert told == [
        ("PendingUserAdded", "grace", ADMINISTRATOR),
        ("UserRenamed", "grace", ADMINISTRATOR),
        ("UserExported", "grace", ADMINISTRATOR),
        ("IdentificationAdded", "pin", ADMINISTRATOR),
        ("CodeRevealed", "pin", ADMINISTRATOR),
        ("InvitationCreated", "invited", ADMINISTRATOR),
    ]
    assert all(each["at"].endswith("+00:00") for each in document["events"])
    # What is derived from codes is nobody's business.
    assert b"5eed5eed" not in answer.result
    assert b"Ada" not in answer.result
    assert [type(each.event) for each in world.store.records("grace")][-1] is UserExported


def test_the_erased_cannot_be_exported(world: World) -> None:
    world.privacy.erase(ask(), user_id="grace")
    with pytest.raises(UserUnknownError):
        world.privacy.export(ask("export-1"), user_id="grace")


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)
