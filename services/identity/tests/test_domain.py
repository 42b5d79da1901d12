"""Given what has happened, when this is asked, then that happens."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from chargekey_common.eventstore.records import DomainEvent
from chargekey_identity.domain import identification, reservation, user
from chargekey_identity.domain.codes import Code
from chargekey_identity.domain.errors import (
    AppNotByHandError,
    CodeInUseError,
    CodeUnavailableError,
    GroupMalformedError,
    IdentificationUnknownError,
    InstallationForeignError,
    InstallationMissingError,
    RfidInUseError,
    StricterOnlyError,
    TooManyIdentificationsError,
    UserUnknownError,
)
from chargekey_identity.domain.events import (
    CodeReleased,
    CodeReserved,
    CodeRevealed,
    IdentificationAdded,
    IdentificationCodeChanged,
    IdentificationExpiryChanged,
    IdentificationGroupChanged,
    IdentificationRemoved,
    IdentificationStatusChanged,
    IdentificationType,
    LocalUserAdded,
    UserBlocked,
    UserRenamed,
    UserUnblocked,
)

KARI = LocalUserAdded(installation_id="home", first_name="Kari", last_name="N", blocked=False)
BLOCKED = UserBlocked(installation_id="home")
UNBLOCKED = UserUnblocked(installation_id="home")
PIN = IdentificationAdded(
    user_id="kari",
    type="PIN",
    installation_id="home",
    status="ACTIVE",
    valid_until=None,
    code="#1234",
    keyed_id="aa",
)
NEW = Code("#5678", "bb")
CHANGED = IdentificationCodeChanged(user_id="kari", code="#5678", keyed_id="bb")
REMOVED = IdentificationRemoved(user_id="kari")
RESERVED = CodeReserved(user_id="kari", identification_id="i1")
RELEASED = CodeReleased(user_id="kari", identification_id="i1")


def a_user(*events: DomainEvent) -> user.User | None:
    state = None
    for event in events:
        state = user.evolve(state, event)  # type: ignore[arg-type] # one of a user's
    return state


def an_identification(*events: DomainEvent) -> identification.Identification | None:
    state = None
    for event in events:
        state = identification.evolve(state, event)  # type: ignore[arg-type] # one of its own
    return state


def a_reservation(*events: DomainEvent) -> reservation.CodeReservation | None:
    state = None
    for event in events:
        state = reservation.evolve(state, event)  # type: ignore[arg-type] # one of its own
    return state


def test_a_user_can_be_added_blocked() -> None:
    """S0-15."""
    added = user.add_local(installation_id="home", first_name="Kari", last_name="N", blocked=True)
    assert added == [
        LocalUserAdded(installation_id="home", first_name="Kari", last_name="N", blocked=True)
    ]
    assert user.block(a_user(*added)) == []
    assert user.unblock(a_user(*added)) == [UNBLOCKED]


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ([KARI], [BLOCKED]),
        ([KARI, BLOCKED], []),
        ([KARI, BLOCKED, UNBLOCKED], [BLOCKED]),
    ],
)
def test_blocking_twice_is_blocking_once(
    given: Sequence[DomainEvent], then: Sequence[DomainEvent]
) -> None:
    """R12."""
    assert user.block(a_user(*given)) == then


@pytest.mark.parametrize(("given", "then"), [([KARI], []), ([KARI, BLOCKED], [UNBLOCKED])])
def test_only_a_blocked_user_can_be_unblocked(
    given: Sequence[DomainEvent], then: Sequence[DomainEvent]
) -> None:
    assert user.unblock(a_user(*given)) == then


@pytest.mark.parametrize(
    ("name", "then"),
    [(("Kari", "N"), []), (("Kari", "M"), [UserRenamed(first_name="Kari", last_name="M")])],
)
def test_a_new_name_is_an_event_and_the_old_one_is_none(
    name: tuple[str, str], then: Sequence[DomainEvent]
) -> None:
    """S0-25."""
    assert user.rename(a_user(KARI), first_name=name[0], last_name=name[1]) == then


def test_nothing_can_be_done_to_a_user_who_does_not_exist() -> None:
    for act in (user.block, user.unblock):
        with pytest.raises(UserUnknownError):
            act(None)


LOCAL = user.User("LOCAL", "home")
ACCOUNT = user.User("ACCOUNT")


@pytest.mark.parametrize(
    ("holder", "kind", "asked", "works_at"),
    [
        (LOCAL, "PIN", "", "home"),
        (LOCAL, "PIN", "home", "home"),
        (LOCAL, "RFID", "", None),
        (LOCAL, "RFID", "home", None),
        (ACCOUNT, "PIN", "home", "home"),
        (ACCOUNT, "RFID", "home", "home"),
        (ACCOUNT, "RFID", "", None),
        (ACCOUNT, "VEHICLE_ID", "away", "away"),
    ],
)
def test_a_pin_works_at_one_installation_and_a_card_where_it_is_said_or_everywhere(
    holder: user.User, kind: IdentificationType, asked: str, works_at: str | None
) -> None:
    """R13, R15."""
    assert identification.scope(holder, kind, asked) == works_at


def test_a_pin_needs_an_installation_and_a_local_user_has_one_alone() -> None:
    """R13."""
    with pytest.raises(InstallationMissingError):
        identification.scope(ACCOUNT, "PIN", "")
    for kind in ("PIN", "RFID"):
        with pytest.raises(InstallationForeignError):
            identification.scope(LOCAL, kind, "away")


def test_a_group_is_a_sites_among_local_users_and_everybody_elses_own() -> None:
    """R22: the label is nobody's business, its id tells who is together."""
    kari = identification.group(LOCAL, "kari", "family", card=False)
    assert kari.id == identification.group(LOCAL, "ola", "family", card=True).id
    others = [
        identification.group(LOCAL, "kari", "Family", card=False),
        identification.group(user.User("LOCAL", "away"), "kari", "family", card=False),
        identification.group(ACCOUNT, "kari", "family", card=False),
        identification.group(ACCOUNT, "ola", "family", card=False),
    ]
    assert len({kari.id, *(each.id for each in others)}) == 5
    assert identification.group(LOCAL, "kari", "", card=True) == identification.Group(card=True)
    assert "family" not in repr(kari)
    for label in ("a b", "x" * 21, "f\u00e6", "a_b", "a\n"):
        with pytest.raises(GroupMalformedError):
            identification.group(LOCAL, "kari", label, card=False)


def test_a_group_is_changed_as_a_whole_and_the_same_is_no_event() -> None:
    """R21, R22."""
    family = identification.group(LOCAL, "kari", "family", card=True)
    [changed] = identification.change_group(an_identification(PIN), family)
    assert changed == IdentificationGroupChanged(
        user_id="kari", group="family", group_id=family.id, group_card=True
    )
    grouped = an_identification(PIN, changed)
    assert identification.change_group(grouped, family) == []
    [left] = identification.change_group(grouped, identification.Group())
    assert isinstance(left, IdentificationGroupChanged)
    assert (left.group, left.group_id, left.group_card) == ("", None, False)


def test_the_identification_of_the_app_is_not_for_hands() -> None:
    app = an_identification(msgspec.structs.replace(PIN, type="APP", installation_id=None))
    with pytest.raises(AppNotByHandError):
        identification.by_hand(app)
    assert identification.by_hand(an_identification(PIN)) == an_identification(PIN)


def test_a_status_changes_once() -> None:
    """S0-26."""
    blocked = IdentificationStatusChanged(user_id="kari", status="BLOCKED")
    assert identification.change_status(an_identification(PIN), "ACTIVE") == []
    assert identification.change_status(an_identification(PIN), "BLOCKED") == [blocked]
    assert identification.change_status(an_identification(PIN, blocked), "BLOCKED") == []


def test_an_end_can_be_set_and_taken_away() -> None:
    """R18."""
    ends = IdentificationExpiryChanged(user_id="kari", valid_until=10)
    assert identification.change_expiry(an_identification(PIN), 10) == [ends]
    assert identification.change_expiry(an_identification(PIN, ends), 10) == []
    assert identification.change_expiry(an_identification(PIN, ends), None) == [
        IdentificationExpiryChanged(user_id="kari", valid_until=None)
    ]


def test_whoever_is_bound_makes_it_stricter_alone() -> None:
    """R13, R18, R21: his code and whether it is switched on are his own."""
    blocked = IdentificationStatusChanged(user_id="kari", status="BLOCKED")
    off = IdentificationStatusChanged(user_id="kari", status="INACTIVE")
    ends = IdentificationExpiryChanged(user_id="kari", valid_until=10)
    free, held = an_identification(PIN), an_identification(PIN, ends)
    for status in ("ACTIVE", "INACTIVE"):
        with pytest.raises(StricterOnlyError):
            identification.change_status(an_identification(PIN, blocked), status, bound=True)
    assert identification.change_status(free, "INACTIVE", bound=True) == [off]
    assert identification.change_status(an_identification(PIN, off), "ACTIVE", bound=True)
    for later in (None, 11):
        with pytest.raises(StricterOnlyError):
            identification.change_expiry(held, later, bound=True)
    assert identification.change_expiry(held, 9, bound=True)
    assert identification.change_expiry(free, 10, bound=True) == [ends]
    card = identification.Group(card=True)
    with pytest.raises(StricterOnlyError):
        identification.change_group(free, card, bound=True)
    [made] = identification.change_group(free, card)
    own = identification.Group("family", "g", card=True)
    assert identification.change_group(an_identification(PIN, made), own, bound=True)
    with pytest.raises(StricterOnlyError):
        identification.add(
            user_id="kari",
            identification_type="RFID",
            installation_id="home",
            status="ACTIVE",
            valid_until=None,
            code=NEW,
            group=card,
            bound=True,
        )


@pytest.mark.parametrize(
    ("installation_id", "actor", "is_host", "bound"),
    [
        ("home", "user:kari", False, True),
        ("home", "user:kari", True, False),
        ("home", "user:an-owner", False, False),
        ("home", "administrator:local", False, False),
        (None, "user:kari", False, False),
    ],
)
def test_bound_is_a_user_where_others_say_what_he_may(
    installation_id: str | None, actor: str, *, is_host: bool, bound: bool
) -> None:
    assert identification.is_bound("kari", installation_id, actor, is_host=is_host) == bound


def test_nobody_takes_one_pin_after_the_other() -> None:
    """R13: 10 at an installation, 100 of everything; what was removed is not counted."""
    pin = an_identification(PIN)
    removed = an_identification(PIN, REMOVED)
    assert pin is not None
    assert removed is not None
    elsewhere = msgspec.structs.replace(pin, installation_id="away")
    card = msgspec.structs.replace(pin, type="RFID")
    nearly = [pin] * 9 + [removed, elsewhere, card]
    identification.require_room(nearly, "PIN", pin.installation_id)
    identification.require_room([pin] * 10, "RFID", None)
    identification.require_room([pin] * 10, "PIN", "away")
    identification.require_room([card] * 99 + [removed], "RFID", None)
    for held, kind, earlier in (
        ([pin] * 10, "PIN", ()),
        (nearly, "PIN", ("PIN",)),
        ([card] * 100, "RFID", ()),
        ([card] * 99, "SMS", ("RFID",)),
    ):
        with pytest.raises(TooManyIdentificationsError):
            identification.require_room(held, kind, pin.installation_id, earlier=earlier)


def test_a_new_code_takes_the_old_ones_place_and_the_same_code_is_no_event() -> None:
    """S0-26."""
    assert identification.change_code(an_identification(PIN), NEW) == [CHANGED]
    changed = an_identification(PIN, CHANGED)
    assert changed is not None
    assert (changed.code, changed.code_number) == (NEW, 2)
    assert identification.change_code(changed, NEW) == []


def test_a_reveal_is_recorded_every_time_and_changes_nothing() -> None:
    """R17."""
    revealed = CodeRevealed(user_id="kari")
    assert identification.reveal(an_identification(PIN)) == [revealed]
    assert identification.reveal(an_identification(PIN, revealed)) == [revealed]
    assert an_identification(PIN, revealed) == an_identification(PIN)


def test_a_removed_identification_is_unknown_to_everything() -> None:
    removed = an_identification(PIN, REMOVED)
    assert identification.remove(an_identification(PIN)) == [REMOVED]
    for act in (
        identification.remove,
        identification.reveal,
        lambda state: identification.change_code(state, NEW),
        lambda state: identification.change_status(state, "ACTIVE"),
        lambda state: identification.change_expiry(state, 1),
        lambda state: identification.change_group(state, identification.Group("g", "g")),
    ):
        with pytest.raises(IdentificationUnknownError):
            act(removed)


def test_an_erased_code_can_be_neither_shown_nor_changed() -> None:
    """R20: erased fields come back empty."""
    erased = an_identification(
        IdentificationAdded(
            user_id="kari",
            type="PIN",
            installation_id="home",
            status="ACTIVE",
            valid_until=None,
            code="",
            keyed_id="",
        )
    )
    for act in (
        identification.remove,
        identification.reveal,
        lambda state: identification.change_code(state, NEW),
    ):
        with pytest.raises(IdentificationUnknownError):
            act(erased)


def test_a_code_has_one_holder_and_is_free_again_once_released() -> None:
    """R13, R15."""
    reserved, released = a_reservation(RESERVED), a_reservation(RESERVED, RELEASED)
    for state in (None, released):
        assert reservation.reserve(state, "PIN", user_id="kari", identification_id="i1") == [
            RESERVED
        ]
    with pytest.raises(CodeUnavailableError):
        reservation.reserve(reserved, "PIN", user_id="ola", identification_id="i2")
    with pytest.raises(RfidInUseError):
        reservation.reserve(reserved, "RFID", user_id="ola", identification_id="i2")
    with pytest.raises(RfidInUseError):
        reservation.reserve(reserved, "CREDIT_CARD", user_id="ola", identification_id="i2")
    with pytest.raises(CodeInUseError):
        reservation.reserve(reserved, "VEHICLE_ID", user_id="ola", identification_id="i2")


def test_only_the_holder_of_a_code_frees_it() -> None:
    reserved = a_reservation(RESERVED)
    assert reservation.release(reserved, user_id="kari", identification_id="i1") == [RELEASED]
    assert reservation.release(reserved, user_id="ola", identification_id="i2") == []


def test_no_event_and_no_state_shows_a_name_or_a_code() -> None:
    """R17: a repr may end up in a log."""
    renamed = UserRenamed(first_name="Kari", last_name="N")
    shown = repr([KARI, renamed, PIN, CHANGED, a_user(KARI), an_identification(PIN, CHANGED)])
    assert "installation_id='home'" in shown
    for secret in ("Kari", "1234", "5678", "aa'", "bb'"):
        assert secret not in shown
