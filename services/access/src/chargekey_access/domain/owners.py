"""The owners of an installation: one small consistency unit for the last-owner rule (R6).

Once it has an owner it always has one who is not blocked there, and once one of those has
accepted to be it, always one who has: whoever was invited may be nobody. An offer of
ownership ends with the standing of either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec.structs import replace

from chargekey_access.domain.errors import (
    AlreadyOwnerError,
    LastOwnerError,
    NoOwnerToOfferError,
    OwnershipNotOfferedError,
    UserBlockedHereError,
)
from chargekey_access.domain.events import (
    OwnerAccepted,
    OwnerAdded,
    OwnerRemoved,
    OwnersEvent,
    OwnershipOffered,
    OwnershipOfferWithdrawn,
    OwnershipTransferred,
    UserBlockedAtInstallation,
    UserUnblockedAtInstallation,
)
from chargekey_access.domain.ids import derived


class Offer(msgspec.Struct, frozen=True):
    """An owner's place, offered to somebody who has yet to accept it."""

    from_user_id: str
    to_user_id: str


class Owners(msgspec.Struct, frozen=True):
    """Who owns an installation, whom its place is offered to, and who is blocked there.

    `invited` are the owners who have yet to accept.
    """

    owners: frozenset[str] = frozenset()
    invited: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    offer: Offer | None = None


NOBODY = Owners()


def owners_id(installation_id: str) -> str:
    """One set of owners per installation."""
    return derived("owners", installation_id)


def evolve(state: Owners | None, event: OwnersEvent) -> Owners:
    """Return the owners after `event`."""
    before = state or NOBODY
    match event:
        case OwnerAdded():
            invited = before.invited | ({event.user_id} if event.invited else frozenset())
            return replace(before, owners=before.owners | {event.user_id}, invited=invited)
        case OwnerAccepted():
            return replace(before, invited=before.invited - {event.user_id})
        case OwnerRemoved():
            gone = {event.user_id}
            return replace(before, owners=before.owners - gone, invited=before.invited - gone)
        case UserBlockedAtInstallation():
            return replace(before, blocked=before.blocked | {event.user_id})
        case UserUnblockedAtInstallation():
            return replace(before, blocked=before.blocked - {event.user_id})
        case OwnershipOffered():
            return replace(before, offer=Offer(event.from_user_id, event.to_user_id))
        case OwnershipOfferWithdrawn():
            return replace(before, offer=None)
        case OwnershipTransferred():
            gone = {event.from_user_id}
            owners, invited = before.owners - gone, before.invited - gone
            return replace(before, owners=owners | {event.to_user_id}, invited=invited, offer=None)
        case _:
            assert_never(event)


def change(
    state: Owners | None,
    *,
    installation_id: str,
    user_id: str,
    owns: bool,
    invited: bool = False,
) -> Sequence[OwnersEvent]:
    """Make a user an owner or no longer one; raises LastOwnerError or UserBlockedHereError.

    One who is `invited` counts for the others only when he has accepted.
    """
    before = state or NOBODY
    if owns == (user_id in before.owners):
        return []
    if owns:
        if user_id in before.blocked:
            raise UserBlockedHereError
        changed: OwnersEvent = OwnerAdded(
            installation_id=installation_id, user_id=user_id, invited=invited
        )
    else:
        _require_another(before, user_id)
        changed = OwnerRemoved(installation_id=installation_id, user_id=user_id)
    return [changed, *without_offer(state, installation_id=installation_id, user_id=user_id)]


def arrive(state: Owners | None, *, installation_id: str, user_id: str) -> Sequence[OwnersEvent]:
    """Count an invited owner from now on."""
    if user_id not in (state or NOBODY).invited:
        return []
    return [OwnerAccepted(installation_id=installation_id, user_id=user_id)]


def block(state: Owners | None, *, installation_id: str, user_id: str) -> Sequence[OwnersEvent]:
    """Refuse a user at every charger there (R12); raises LastOwnerError."""
    before = state or NOBODY
    if user_id in before.blocked:
        return []
    if user_id in before.owners:
        _require_another(before, user_id)
    return [
        UserBlockedAtInstallation(installation_id=installation_id, user_id=user_id),
        *without_offer(state, installation_id=installation_id, user_id=user_id),
    ]


def unblock(state: Owners | None, *, installation_id: str, user_id: str) -> Sequence[OwnersEvent]:
    """Lift that block."""
    if user_id not in (state or NOBODY).blocked:
        return []
    return [UserUnblockedAtInstallation(installation_id=installation_id, user_id=user_id)]


def offer(
    state: Owners | None,
    *,
    installation_id: str,
    from_user_id: str,
    to_user_id: str,
    invited: bool = False,
) -> Sequence[OwnersEvent]:
    """Offer an owner's place, instead of what was offered before.

    Raises NoOwnerToOfferError where he has none, AlreadyOwnerError or
    UserBlockedHereError.
    """
    before = state or NOBODY
    if from_user_id not in before.owners:
        raise NoOwnerToOfferError
    if to_user_id in before.owners:
        raise AlreadyOwnerError
    if to_user_id in before.blocked or from_user_id in before.blocked:
        raise UserBlockedHereError
    if before.offer == Offer(from_user_id, to_user_id):
        return []
    return [
        OwnershipOffered(
            installation_id=installation_id,
            from_user_id=from_user_id,
            to_user_id=to_user_id,
            invited=invited,
        )
    ]


def accept(state: Owners | None, *, installation_id: str, user_id: str) -> OwnershipTransferred:
    """Take the offered place; raises OwnershipNotOfferedError."""
    offered = (state or NOBODY).offer
    if offered is None or offered.to_user_id != user_id:
        raise OwnershipNotOfferedError
    return OwnershipTransferred(
        installation_id=installation_id,
        from_user_id=offered.from_user_id,
        to_user_id=offered.to_user_id,
    )


def withdraw(state: Owners | None, *, installation_id: str) -> Sequence[OwnersEvent]:
    """End the offer; raises OwnershipNotOfferedError."""
    offered = (state or NOBODY).offer
    if offered is None:
        raise OwnershipNotOfferedError
    return [
        OwnershipOfferWithdrawn(
            installation_id=installation_id,
            from_user_id=offered.from_user_id,
            to_user_id=offered.to_user_id,
        )
    ]


def without_offer(
    state: Owners | None, *, installation_id: str, user_id: str
) -> Sequence[OwnersEvent]:
    """End the offer where the user is a side of it."""
    offered = (state or NOBODY).offer
    if offered is None or user_id not in (offered.from_user_id, offered.to_user_id):
        return []
    return withdraw(state, installation_id=installation_id)


def _require_another(before: Owners, user_id: str) -> None:
    """Raise LastOwnerError unless an owner who counts is left without this one.

    That is one who is not blocked and has accepted; as long as nobody has, one who has not.
    """
    unblocked = before.owners - before.blocked
    counting = unblocked - before.invited or unblocked
    if not counting - {user_id}:
        raise LastOwnerError
