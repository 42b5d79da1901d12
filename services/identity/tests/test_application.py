"""Commands on a real store: several aggregates at once, several callers at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from chargekey_common.attempts import TooManyAttemptsError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import CommandIdReusedError, Context, EventStore
from chargekey_identity.application.identifications import Details
from chargekey_identity.domain import identification
from chargekey_identity.domain.email import canonical
from chargekey_identity.domain.errors import (
    CodeChangedSinceError,
    CodeUnavailableError,
    IdentificationUnknownError,
    PinMalformedError,
    RfidInUseError,
    TooManyIdentificationsError,
    UserUnknownError,
)
from chargekey_identity.domain.events import IdentificationType
from chargekey_identity.projections.directory import Directory
from chargekey_identity.published import publication
from chargekey_identity.storage import opened
from chargekey_identity.tables.keyring import KeyRing

from .conftest import MASTER, Identity


def by(actor: str = "administrator:local") -> Context:
    return Context(actor=actor, command_id=new_id())


def a_user(identity: Identity, installation: str = "home") -> str:
    return identity.users.add_local_user(
        by(), installation_id=installation, first_name="Kari", last_name="N", blocked=False
    ).result


def add(
    identity: Identity,
    user_id: str,
    code: str,
    kind: IdentificationType = "PIN",
    context: Context | None = None,
) -> str:
    return identity.identifications.add_identification(
        context or by(),
        user_id=user_id,
        identification_type=kind,
        code=code,
        status="ACTIVE",
        valid_until="",
        time_zone="",
    ).result


def change(
    identity: Identity, identification_id: str, context: Context | None = None, **given: Any
) -> None:
    nothing = {"code": None, "status": None, "valid_until": None, "time_zone": ""}
    identity.identifications.change_identification(
        context or by(), identification_id=identification_id, **(nothing | given)
    )


def events(store: EventStore) -> list[str]:
    return [type(record.event).__name__ for _, record, _ in store.read(0, 1000)]


def an_account(identity: Identity) -> str:
    address = canonical(f"{new_id()}@example.com")
    user_id = identity.addresses.resolve_email(by(), address).result
    identity.arrivals.sign_in(by(f"user:{user_id}"), user_id=user_id, by="LINK")
    return user_id


def test_a_user_hardly_learns_which_pins_the_others_have(identity: Identity) -> None:
    """R13, R14: once he has met five, he is refused before another is tried."""
    me, other = an_account(identity), a_user(identity)
    taken = [f"#100{number}" for number in range(6)]
    for pin in taken:
        add(identity, other, pin)

    def add_own(pin: str, site: str = "home", context: Context | None = None) -> str:
        return identity.identifications.add_identification(
            context or by(f"user:{me}"),
            user_id=me,
            identification_type="PIN",
            code=pin,
            status="ACTIVE",
            valid_until="",
            time_zone="",
            details=Details(installation_id=site),
        ).result

    def change_own(pin: str) -> None:
        change(identity, own, by(f"user:{me}"), code=pin)

    first = by(f"user:{me}")
    own = add_own("#2000", context=first)
    for number in range(7):  # what is free, or malformed, does not count
        change_own(f"#300{number}")
        with pytest.raises(PinMalformedError):
            change_own("nonsense")
    for pin in taken[:2]:
        with pytest.raises(CodeUnavailableError):
            add_own(pin)
    for pin in taken[2:5]:
        with pytest.raises(CodeUnavailableError):
            change_own(pin)
    for pin in (taken[5], "#4000"):
        for attempt in (add_own, change_own):
            with pytest.raises(TooManyAttemptsError) as refused:
                attempt(pin)
            assert pin not in str(refused.value)
    assert add_own("#2000", context=first) == own
    change(identity, own, by(f"user:{me}"), status="INACTIVE")
    add_own("#1000", "away")
    add(identity, other, "#4000")  # whoever answers for the site is not counted
    with pytest.raises(CodeUnavailableError):
        add(identity, other, "#1000")


def test_of_many_guesses_at_once_no_more_are_answered(identity: Identity) -> None:
    """R14."""
    me, other = an_account(identity), a_user(identity)
    for number in range(12):
        add(identity, [other, a_user(identity)][number % 2], f"#10{number:02}")
    answered: list[type[Exception]] = []

    def guess(pin: str) -> None:
        try:
            identity.identifications.add_identification(
                by(f"user:{me}"),
                user_id=me,
                identification_type="PIN",
                code=pin,
                status="ACTIVE",
                valid_until="",
                time_zone="",
                details=Details(installation_id="home"),
            )
        except Exception as error:  # noqa: BLE001 - whatever it was is looked at
            answered.append(type(error))

    threads = [threading.Thread(target=guess, args=(f"#10{n:02}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answered) == 12
    assert answered.count(CodeUnavailableError) == 5
    assert answered.count(TooManyAttemptsError) == 7


def test_nobody_has_more_than_so_many_pins_at_an_installation(identity: Identity) -> None:
    """R13."""
    kari = a_user(identity)
    keys = [add(identity, kari, f"#100{number}") for number in range(10)]
    with pytest.raises(TooManyIdentificationsError):
        add(identity, kari, "#2000")
    add(identity, kari, "04A2B3C4", "RFID")
    identity.identifications.remove_identification(by(), identification_id=keys[0])
    add(identity, kari, "#2000")


def test_a_pin_belongs_to_one_user_of_an_installation(identity: Identity) -> None:
    """R13: blocked ones included; elsewhere the same PIN is another one."""
    holder = a_user(identity)
    held = add(identity, holder, "#1234")
    change(identity, held, status="BLOCKED")
    for user_id in (holder, a_user(identity)):
        with pytest.raises(CodeUnavailableError):
            add(identity, user_id, "#1234")
    add(identity, a_user(identity, "away"), "#1234")


def test_a_card_belongs_to_one_user_anywhere(identity: Identity) -> None:
    """R15."""
    add(identity, a_user(identity), "04:a2:b3:c4", "RFID")
    with pytest.raises(RfidInUseError):
        add(identity, a_user(identity, "away"), "04A2B3C4", "RFID")


def test_a_removed_or_replaced_code_is_free_again(identity: Identity) -> None:
    """S0-26."""
    one, other = a_user(identity), a_user(identity)
    held = add(identity, one, "#1234")
    change(identity, held, code="#5678")
    add(identity, other, "#1234")
    with pytest.raises(CodeUnavailableError):
        change(identity, held, code="#1234")
    identity.identifications.remove_identification(by(), identification_id=held)
    add(identity, other, "#5678")


def test_changing_to_the_same_code_and_status_stores_nothing(
    identity: Identity, store: EventStore
) -> None:
    held = add(identity, a_user(identity), "04A2B3C4", "RFID")
    before = events(store)
    change(identity, held, code="04-a2-b3-c4", status="ACTIVE", valid_until="")
    assert events(store) == before


def test_a_change_and_the_reservations_that_follow_are_one_save(
    identity: Identity, store: EventStore
) -> None:
    held = add(identity, a_user(identity), "#1234")
    assert events(store) == ["LocalUserAdded", "CodeReserved", "IdentificationAdded"]
    change(identity, held, code="#5678", status="INACTIVE")
    assert events(store)[3:] == [
        "CodeReleased",
        "CodeReserved",
        "IdentificationCodeChanged",
        "IdentificationStatusChanged",
    ]
    assert len({record.cause for _, record, _ in store.read(3, 10)}) == 1


def test_a_change_that_is_refused_in_part_changes_nothing(
    identity: Identity, store: EventStore
) -> None:
    held = add(identity, a_user(identity), "#1234")
    before = events(store)
    with pytest.raises(PinMalformedError):
        change(identity, held, code="5678", status="BLOCKED")
    assert events(store) == before


def test_a_repeated_command_answers_as_the_first_time(
    identity: Identity, store: EventStore
) -> None:
    holder, context = a_user(identity), by()
    first = add(identity, holder, "#1234", context=context)
    before = events(store)
    assert add(identity, holder, "#1234", context=context) == first
    assert events(store) == before


def test_of_those_who_want_one_pin_at_once_exactly_one_gets_it(
    identity: Identity, store: EventStore
) -> None:
    """R13: uniqueness is a fact of optimistic concurrency."""
    holders = [a_user(identity) for _ in range(4)]
    for round_ in range(10):
        barrier = threading.Barrier(len(holders))
        won: list[str] = []
        lost: list[CodeUnavailableError] = []

        def want(user_id: str, pin: str) -> None:
            barrier.wait()  # noqa: B023 - the threads of a round end with it
            try:
                won.append(add(identity, user_id, pin))  # noqa: B023 - as above
            except CodeUnavailableError as error:
                lost.append(error)  # noqa: B023 - as above

        threads = [
            threading.Thread(target=want, args=(user_id, f"#100{round_}")) for user_id in holders
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, len(holders) - 1)
    assert events(store).count("IdentificationAdded") == 10


def test_a_reveal_is_recorded_with_the_caller_and_answers_the_code(
    identity: Identity, store: EventStore
) -> None:
    """R17."""
    held = add(identity, a_user(identity), "#1234")
    context = by("user:owner")
    answer = identity.identifications.reveal_code(context, identification_id=held)
    assert answer.result.text == "#1234"
    assert identity.identifications.reveal_code(context, identification_id=held) == answer
    _, last, _ = store.read(0, 100)[-1]
    assert (type(last.event).__name__, last.actor) == ("CodeRevealed", "user:owner")
    assert events(store).count("CodeRevealed") == 1
    receipt = store.recorder.receipt(context.command_id)
    assert receipt is not None
    assert b"1234" not in receipt.answer


def test_one_recorded_reveal_opens_nothing_else(identity: Identity) -> None:
    """R17: not another identification, not to another caller, not a later code."""
    holder = a_user(identity)
    one, other = add(identity, holder, "#1234"), add(identity, holder, "#5678")
    context = by("user:owner")
    identity.identifications.reveal_code(context, identification_id=one)
    with pytest.raises(CommandIdReusedError):
        identity.identifications.reveal_code(context, identification_id=other)
    with pytest.raises(CommandIdReusedError):
        identity.identifications.reveal_code(
            Context("user:other", context.command_id), identification_id=one
        )
    change(identity, one, code="#9999")
    with pytest.raises(CodeChangedSinceError):
        identity.identifications.reveal_code(context, identification_id=one)
    assert (
        identity.identifications.reveal_code(by("user:owner"), identification_id=one).result.text
        == "#9999"
    )


def test_once_the_key_is_destroyed_names_and_codes_are_unreadable_and_the_log_still_loads(
    identity: Identity, store: EventStore, keyring: KeyRing
) -> None:
    """R20."""
    erased, other = a_user(identity), a_user(identity)
    held = add(identity, erased, "#1234")
    change(identity, held, code="#5678")
    kept = add(identity, other, "#4321")
    keyring.destroy(erased)

    directory = Directory(store)
    assert (directory.user(erased).first_name, directory.user(erased).last_name) == ("", "")
    assert directory.user(other).first_name == "Kari"
    state = store.load(identification.evolve, held).state
    assert state is not None
    assert (state.code.text, state.code.keyed_id) == ("", "")
    assert identity.identifications.reveal_code(by(), identification_id=kept).result.text == "#4321"
    with pytest.raises(IdentificationUnknownError):
        identity.identifications.reveal_code(by(), identification_id=held)
    with pytest.raises(UserUnknownError):
        identity.users.rename_user(by(), user_id=erased, first_name="Kari", last_name="Again")

    publications = [publication(record) for _, record, _ in store.read(0, 100)]
    keys = [private for each in publications for private in each.private]
    assert [key.subject for key in keys] == [f"identity.v1.key.{kept}"]


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path.joinpath, MASTER) as storage:
        identity = Identity(storage)
        holder = a_user(identity)
        held = add(identity, holder, "#1234")
    with opened(tmp_path.joinpath, MASTER) as storage:
        reopened = Identity(storage)
        revealed = reopened.identifications.reveal_code(by(), identification_id=held)
        assert revealed.result.text == "#1234"
        with pytest.raises(CodeUnavailableError):
            add(reopened, holder, "#1234")
