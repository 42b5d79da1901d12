"""A LOCAL user: first and last name, one installation, blocked or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from chargekey_identity.domain.errors import UserUnknownError
from chargekey_identity.domain.events import (
    LocalUserAdded,
    UserBlocked,
    UserEvent,
    UserRenamed,
    UserUnblocked,
)


class User(msgspec.Struct, frozen=True):
    """The user as of his last event; names are empty once his key is destroyed."""

    installation_id: str
    first_name: str
    last_name: str
    blocked: bool

    def __repr__(self) -> str:
        return f"User(installation_id={self.installation_id!r}, blocked={self.blocked})"


def evolve(state: User | None, event: UserEvent) -> User:
    """Return the user after `event`."""
    match event:
        case LocalUserAdded():
            return User(event.installation_id, event.first_name, event.last_name, event.blocked)
        case UserRenamed():
            return msgspec.structs.replace(
                existing(state), first_name=event.first_name, last_name=event.last_name
            )
        case UserBlocked():
            return msgspec.structs.replace(existing(state), blocked=True)
        case UserUnblocked():
            return msgspec.structs.replace(existing(state), blocked=False)
        case _:
            assert_never(event)


def existing(state: User | None) -> User:
    """Return the user; raises UserUnknownError."""
    if state is None:
        raise UserUnknownError
    return state


def add_local(
    *, installation_id: str, first_name: str, last_name: str, blocked: bool
) -> Sequence[UserEvent]:
    """Add a user of one installation, blocked at once where wanted (S0-10...15)."""
    return [
        LocalUserAdded(
            installation_id=installation_id,
            first_name=first_name,
            last_name=last_name,
            blocked=blocked,
        )
    ]


def rename(state: User | None, *, first_name: str, last_name: str) -> Sequence[UserEvent]:
    """Give the user another name (S0-25)."""
    user = existing(state)
    if (user.first_name, user.last_name) == (first_name, last_name):
        return []
    return [UserRenamed(first_name=first_name, last_name=last_name)]


def block(state: User | None) -> Sequence[UserEvent]:
    """Refuse the user with every identification; blocking twice is blocking once (R12)."""
    user = existing(state)
    return [] if user.blocked else [UserBlocked(installation_id=user.installation_id)]


def unblock(state: User | None) -> Sequence[UserEvent]:
    """Lift the block."""
    user = existing(state)
    return [UserUnblocked(installation_id=user.installation_id)] if user.blocked else []
