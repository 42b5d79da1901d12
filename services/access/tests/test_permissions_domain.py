"""Permissions, owners and who grants: given these events, when this command, then those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_access.domain import granting, owners, permission
from chargekey_access.domain.errors import (
    AlreadyOwnerError,
    LastOwnerError,
    LocalUserCannotOwnError,
    NoOwnerToOfferError,
    NotAPaymentOperatorError,
    OperatorWithoutEndError,
    OwnershipNotOfferedError,
    OwnerWithoutEndError,
    PartnerCannotOwnError,
    PermissionUnknownError,
    RoleNotGrantableError,
    RolesMissingError,
    UserBlockedHereError,
)
from chargekey_access.domain.events import (
    OwnerAccepted,
    OwnerAdded,
    OwnerRemoved,
    OwnershipOffered,
    OwnershipOfferWithdrawn,
    OwnershipTransferred,
    PermissionChanged,
    PermissionGranted,
    PermissionRevoked,
    Role,
    UserBlockedAtInstallation,
    UserUnblockedAtInstallation,
)
from chargekey_access.domain.owners import Owners
from chargekey_access.domain.permission import Permission, Subject, SubjectKind, Target

SITE = Target("i")
CHARGER = Target("i", "c")
PERSON = Subject("u")
PARTNER = Subject(partner_id="p")
ROLES: tuple[Role, ...] = get_args(Role)


def state(evolve: Callable[[Any, Any], Any], events: Sequence[Any]) -> Any:
    return reduce(evolve, events, None)


def granted(*roles: Role, **changes: Any) -> PermissionGranted:
    fields: dict[str, Any] = {
        "installation_id": "i",
        "charger_id": None,
        "user_id": "u",
        "roles": roles,
        "valid_until": None,
        "local": False,
    }
    return PermissionGranted(**(fields | changes))


def grant(
    events: Sequence[Any],
    *roles: Role,
    target: Target = SITE,
    subject: Subject = PERSON,
    kind: SubjectKind = "PERSON",
    valid_until: int | None = None,
    invited: bool = False,
) -> Sequence[Any]:
    return permission.grant(
        state(permission.evolve, events),
        target=target,
        subject=subject,
        kind=kind,
        roles=roles,
        valid_until=valid_until,
        invited=invited,
    )


def test_granting_twice_is_granting_once() -> None:
    """R4."""
    assert grant([], "USER", "OWNER") == [granted("OWNER", "USER")]
    assert grant([granted("OWNER", "USER")], "USER", "OWNER", "USER") == []


def test_another_set_of_roles_or_another_end_is_one_event_with_the_new_whole() -> None:
    """R4, R10."""
    assert grant([granted("USER")], "SERVICE", valid_until=5) == [
        PermissionChanged(
            installation_id="i", charger_id=None, user_id="u", roles=("SERVICE",), valid_until=5
        )
    ]


def test_a_permission_without_roles_is_refused() -> None:
    """S3-16, S3-28."""
    with pytest.raises(RolesMissingError):
        grant([])


def test_a_local_user_cannot_own() -> None:
    """R6."""
    with pytest.raises(LocalUserCannotOwnError):
        grant([], "OWNER", kind="LOCAL")
    assert grant([], "USER", kind="LOCAL") == [granted("USER", local=True)]


@pytest.mark.parametrize("kind", ["SERVICE_PARTNER", "PAYMENT_OPERATOR"])
@pytest.mark.parametrize("target", [SITE, CHARGER])
def test_a_partner_cannot_own(kind: SubjectKind, target: Target) -> None:
    with pytest.raises(PartnerCannotOwnError):
        grant([], "OWNER", subject=PARTNER, kind=kind, target=target)


def test_a_partner_holds_several_roles_in_one_permission() -> None:
    """S3-48, R8."""
    assert grant([], "SERVICE", "USER", subject=PARTNER, kind="SERVICE_PARTNER") == [
        granted("SERVICE", "USER", user_id=None, partner_id="p")
    ]


@pytest.mark.parametrize("kind", ["LOCAL", "PERSON", "SERVICE_PARTNER"])
def test_only_a_payment_operator_manages_and_only_a_whole_site(kind: SubjectKind) -> None:
    """R3, S3-42."""
    operator = grant([], "OPERATOR", subject=PARTNER, kind="PAYMENT_OPERATOR")
    assert operator == [granted("OPERATOR", user_id=None, partner_id="p")]
    with pytest.raises(NotAPaymentOperatorError):
        grant([], "OPERATOR", subject=PARTNER, kind="PAYMENT_OPERATOR", target=CHARGER)
    with pytest.raises(NotAPaymentOperatorError):
        grant([], "OPERATOR", kind=kind)


def test_owners_and_operators_have_no_last_day() -> None:
    """R10: a date takes no last owner away (R6), and leaves no site to a manager who is gone."""
    with pytest.raises(OwnerWithoutEndError):
        grant([], "OWNER", "USER", valid_until=5)
    with pytest.raises(OperatorWithoutEndError):
        grant([], "OPERATOR", subject=PARTNER, kind="PAYMENT_OPERATOR", valid_until=5)


def test_a_permission_counts_until_its_end() -> None:
    """R10, R18: the end itself lies outside."""
    held = Permission(SITE, PERSON, ("USER",), 5, local=False)
    assert held.counts(now=4)
    assert not held.counts(now=5)
    assert held.holds


def test_a_revoked_permission_holds_no_more_and_can_be_granted_again() -> None:
    events: list[Any] = [granted("USER")]
    revoked = permission.revoke(state(permission.evolve, events))
    assert revoked == [PermissionRevoked(installation_id="i", charger_id=None, user_id="u")]
    events += revoked
    with pytest.raises(PermissionUnknownError):
        permission.revoke(state(permission.evolve, events))
    assert grant(events, "USER", invited=True) == [granted("USER", invited=True)]


def test_a_user_and_a_partner_of_the_same_id_never_meet_in_one_permission() -> None:
    ids = {
        permission.permission_id(subject, target)
        for subject in (Subject("x"), Subject(partner_id="x"))
        for target in (Target("i"), Target("i", "c"), Target("j"))
    }
    assert len(ids) == 6


@pytest.mark.parametrize(
    ("at_site", "at_charger", "may"),
    [
        (set(), set(), set()),
        ({"OWNER"}, {"OWNER"}, set(ROLES)),
        (set(), {"OWNER"}, {"OWNER", "USER"}),
        ({"OPERATOR"}, {"OPERATOR"}, {"USER"}),
        ({"OPERATOR"}, {"OPERATOR", "OWNER"}, {"OWNER", "USER"}),
        ({"USER"}, {"USER"}, set()),
        ({"SERVICE"}, {"SERVICE"}, set()),
        ({"SERVICE", "USER"}, {"SERVICE", "USER"}, set()),
    ],
)
def test_each_role_grants_what_is_its_to_grant(
    at_site: set[Role], at_charger: set[Role], may: set[Role]
) -> None:
    """R5, S3-9, S3-43: an owner every role, a charger's owner USER and OWNER, an operator USER."""
    assert granting.grantable(at_site, at_charger) == may


_ROLE_SETS = st.frozensets(st.sampled_from(ROLES))


@given(_ROLE_SETS, _ROLE_SETS, _ROLE_SETS, st.booleans())
def test_nobody_changes_a_role_that_he_could_not_grant(
    may: frozenset[Role], before: frozenset[Role], after: frozenset[Role], other_end: bool
) -> None:
    """R5, role by role: what differs, or everything where the end does."""
    wrong = {
        role
        for role in ROLES
        if role not in may
        and ((role in before) != (role in after) or (other_end and role in before | after))
    }
    if not wrong:
        granting.require(may, before=before, after=after, other_end=other_end)
        return
    with pytest.raises(RoleNotGrantableError):
        granting.require(may, before=before, after=after, other_end=other_end)


def owner(user_id: str, *, invited: bool = False) -> OwnerAdded:
    return OwnerAdded(installation_id="i", user_id=user_id, invited=invited)


def accepted(user_id: str) -> OwnerAccepted:
    return OwnerAccepted(installation_id="i", user_id=user_id)


def blocked(user_id: str) -> UserBlockedAtInstallation:
    return UserBlockedAtInstallation(installation_id="i", user_id=user_id)


OFFERED = OwnershipOffered(installation_id="i", from_user_id="u", to_user_id="v")
WITHDRAWN = OwnershipOfferWithdrawn(installation_id="i", from_user_id="u", to_user_id="v")


def leave(events: Sequence[Any], user_id: str) -> Sequence[Any]:
    return owners.change(
        state(owners.evolve, events), installation_id="i", user_id=user_id, owns=False
    )


def test_the_last_owner_stays() -> None:
    """R6."""
    with pytest.raises(LastOwnerError):
        leave([owner("u")], "u")
    assert leave([owner("u"), owner("v")], "u") == [OwnerRemoved(installation_id="i", user_id="u")]


def test_an_owner_who_was_invited_counts_as_the_one_who_is_left_when_he_has_accepted() -> None:
    """R6: until then he may be nobody."""
    two = [owner("u"), owner("v", invited=True)]
    for remove in (leave, block):
        with pytest.raises(LastOwnerError):
            remove(two, "u")
        assert remove(two, "v")
        assert remove([*two, accepted("v")], "u")


def test_of_owners_who_all_have_yet_to_accept_one_is_left() -> None:
    """R6: so that a wrong address can be put right."""
    two = [owner("u", invited=True), owner("v", invited=True)]
    assert leave(two, "u")
    with pytest.raises(LastOwnerError):
        leave(two[:1], "u")
    with pytest.raises(LastOwnerError):
        leave([*two, accepted("v")], "v")


def test_an_owner_accepts_once_and_only_where_he_was_invited() -> None:
    """R6."""
    for events in ([], [owner("v")], [owner("v", invited=True), accepted("v")]):
        now = state(owners.evolve, events) if events else None
        assert owners.arrive(now, installation_id="i", user_id="v") == []
    invited = state(owners.evolve, [owner("v", invited=True)])
    assert owners.arrive(invited, installation_id="i", user_id="v") == [accepted("v")]
    assert owners.change(None, installation_id="i", user_id="v", owns=True, invited=True) == [
        owner("v", invited=True)
    ]


def test_who_owns_no_longer_has_nothing_to_accept_and_who_takes_over_has_accepted() -> None:
    """R6."""
    gone = [owner("w"), owner("u", invited=True), OwnerRemoved(installation_id="i", user_id="u")]
    assert leave([*gone, owner("u")], "w")
    handed = OwnershipTransferred(installation_id="i", from_user_id="u", to_user_id="v")
    after = state(owners.evolve, [owner("w"), owner("u", invited=True), handed])
    assert after.invited == frozenset()


def test_an_owner_who_is_blocked_there_does_not_count_as_the_one_who_is_left() -> None:
    """R6, R12."""
    with pytest.raises(LastOwnerError):
        leave([owner("u"), owner("v"), blocked("v")], "u")
    assert leave([owner("u"), owner("v"), blocked("v")], "v")
    with pytest.raises(LastOwnerError):
        block([owner("u"), owner("v"), blocked("v")], "u")


def test_who_is_blocked_there_does_not_become_an_owner() -> None:
    with pytest.raises(UserBlockedHereError):
        owners.change(
            state(owners.evolve, [blocked("u")]), installation_id="i", user_id="u", owns=True
        )


def block(events: Sequence[Any], user_id: str) -> Sequence[Any]:
    return owners.block(state(owners.evolve, events), installation_id="i", user_id=user_id)


def unblock(events: Sequence[Any], user_id: str) -> Sequence[Any]:
    return owners.unblock(state(owners.evolve, events), installation_id="i", user_id=user_id)


def test_blocking_and_lifting_it_are_one_event_where_they_change_something() -> None:
    """R12, the last owner excepted (R6)."""
    assert block([], "x") == [blocked("x")]
    assert block([blocked("x")], "x") == []
    assert unblock([], "x") == []
    assert unblock([blocked("x")], "x") == [
        UserUnblockedAtInstallation(installation_id="i", user_id="x")
    ]
    with pytest.raises(LastOwnerError):
        block([owner("u")], "u")
    assert block([owner("u"), owner("v")], "u") == [blocked("u")]


def offer(events: Sequence[Any], giver: str, taker: str) -> Sequence[Any]:
    return owners.offer(
        state(owners.evolve, events), installation_id="i", from_user_id=giver, to_user_id=taker
    )


def test_only_an_owner_offers_ownership_and_only_to_somebody_else() -> None:
    """R6."""
    assert offer([owner("u")], "u", "v") == [OFFERED]
    assert offer([owner("u"), OFFERED], "u", "v") == []
    assert offer([owner("u"), OFFERED], "u", "w") != []
    with pytest.raises(NoOwnerToOfferError):
        offer([owner("u")], "v", "w")
    with pytest.raises(AlreadyOwnerError):
        offer([owner("u"), owner("v")], "u", "v")
    with pytest.raises(AlreadyOwnerError):
        offer([owner("u")], "u", "u")
    with pytest.raises(UserBlockedHereError):
        offer([owner("u"), blocked("v")], "u", "v")


def test_ownership_changes_hands_when_the_new_owner_accepts() -> None:
    """R6."""
    offered = [owner("u"), owner("w"), OFFERED]
    transferred = owners.accept(state(owners.evolve, offered), installation_id="i", user_id="v")
    assert transferred == OwnershipTransferred(
        installation_id="i", from_user_id="u", to_user_id="v"
    )
    after = state(owners.evolve, [*offered, transferred])
    assert after == Owners(owners=frozenset({"v", "w"}))
    for nobody in ("u", "w", "x"):
        with pytest.raises(OwnershipNotOfferedError):
            owners.accept(state(owners.evolve, offered), installation_id="i", user_id=nobody)
    with pytest.raises(OwnershipNotOfferedError):
        owners.accept(after, installation_id="i", user_id="v")


def test_an_offer_ends_by_hand_and_with_the_standing_of_either_side() -> None:
    """R6."""
    offered = [owner("u"), owner("w"), OFFERED]
    assert owners.withdraw(state(owners.evolve, offered), installation_id="i") == [WITHDRAWN]
    with pytest.raises(OwnershipNotOfferedError):
        owners.withdraw(state(owners.evolve, [owner("u")]), installation_id="i")
    for lost in (
        leave(offered, "u"),
        block(offered, "u"),
        block(offered, "v"),
        owners.change(state(owners.evolve, offered), installation_id="i", user_id="v", owns=True),
    ):
        assert lost[-1] == WITHDRAWN
    assert leave(offered, "w") == [OwnerRemoved(installation_id="i", user_id="w")]


_USERS = st.sampled_from("abc")
_COMMANDS: st.SearchStrategy[Callable[[Owners | None], Sequence[Any]]] = st.one_of(
    st.builds(
        lambda user, owns, invited: (
            lambda now: owners.change(
                now, installation_id="i", user_id=user, owns=owns, invited=invited
            )
        ),
        _USERS,
        st.booleans(),
        st.booleans(),
    ),
    st.builds(
        lambda user, act: lambda now: act(now, installation_id="i", user_id=user),
        _USERS,
        st.sampled_from((owners.block, owners.unblock, owners.arrive)),
    ),
    st.builds(
        lambda giver, taker: (
            lambda now: owners.offer(now, installation_id="i", from_user_id=giver, to_user_id=taker)
        ),
        _USERS,
        _USERS,
    ),
    st.builds(
        lambda user: lambda now: [owners.accept(now, installation_id="i", user_id=user)], _USERS
    ),
)


@given(st.lists(_COMMANDS, max_size=40))
def test_an_installation_that_ever_had_an_owner_always_has_one_who_counts(
    commands: list[Callable[[Owners | None], Sequence[Any]]],
) -> None:
    """R6, for every order of comings and goings, invitations, blocks and offers."""
    current: Owners | None = None
    had_one_who_accepted = False
    for each in commands:
        try:
            current = reduce(owners.evolve, each(current), current)
        except (
            LastOwnerError,
            UserBlockedHereError,
            AlreadyOwnerError,
            NoOwnerToOfferError,
            OwnershipNotOfferedError,
        ):
            continue
        if current is None:
            continue
        assert not current.owners or current.owners - current.blocked
        assert current.invited <= current.owners
        accepted_there = current.owners - current.blocked - current.invited
        assert accepted_there or not had_one_who_accepted
        had_one_who_accepted |= bool(accepted_there)
        if current.offer is not None:
            assert current.offer.from_user_id in current.owners - current.blocked
            assert current.offer.to_user_id not in current.owners | current.blocked
