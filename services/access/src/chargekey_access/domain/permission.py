"""A permission: one subject's set of roles on one target (R4, R5, R10)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from chargekey_access.domain.errors import (
    LocalUserCannotOwnError,
    PermissionUnknownError,
    RolesMissingError,
)
from chargekey_access.domain.events import (
    PermissionChanged,
    PermissionEvent,
    PermissionGranted,
    PermissionRevoked,
    Role,
)


class Target(msgspec.Struct, frozen=True):
    """An installation, or one charger of it."""

    installation_id: str
    charger_id: str | None = None


class Permission(msgspec.Struct, frozen=True):
    """The permission as of its last event; a revoked one holds no roles."""

    target: Target
    user_id: str
    roles: tuple[Role, ...]
    valid_until: int | None
    local: bool

    @property
    def holds(self) -> bool:
        """Whether it was not revoked."""
        return bool(self.roles)


def evolve(state: Permission | None, event: PermissionEvent) -> Permission:
    """Return the permission after `event`."""
    match event:
        case PermissionGranted():
            return Permission(
                Target(event.installation_id, event.charger_id),
                event.user_id,
                event.roles,
                event.valid_until,
                event.local,
            )
        case PermissionChanged():
            return msgspec.structs.replace(
                existing(state), roles=event.roles, valid_until=event.valid_until
            )
        case PermissionRevoked():
            return msgspec.structs.replace(existing(state), roles=(), valid_until=None)
        case _:
            assert_never(event)


def existing(state: Permission | None) -> Permission:
    """Return a permission that holds; raises PermissionUnknownError."""
    if state is None or not state.holds:
        raise PermissionUnknownError
    return state


def grant(
    state: Permission | None,
    *,
    target: Target,
    user_id: str,
    roles: Iterable[Role],
    valid_until: int | None,
    local: bool,
) -> Sequence[PermissionEvent]:
    """Give a subject exactly these roles there; once given, giving again does nothing (R4)."""
    wanted: tuple[Role, ...] = tuple(sorted(set(roles)))
    if not wanted:
        raise RolesMissingError
    if local and "OWNER" in wanted:
        raise LocalUserCannotOwnError
    if state is None or not state.holds:
        return [
            PermissionGranted(
                installation_id=target.installation_id,
                charger_id=target.charger_id,
                user_id=user_id,
                roles=wanted,
                valid_until=valid_until,
                local=local,
            )
        ]
    if (state.roles, state.valid_until) == (wanted, valid_until):
        return []
    return [
        PermissionChanged(
            installation_id=target.installation_id,
            charger_id=target.charger_id,
            user_id=user_id,
            roles=wanted,
            valid_until=valid_until,
        )
    ]


def revoke(state: Permission | None) -> Sequence[PermissionEvent]:
    """Take every role on this target away; raises PermissionUnknownError."""
    permission = existing(state)
    return [
        PermissionRevoked(
            installation_id=permission.target.installation_id,
            charger_id=permission.target.charger_id,
            user_id=permission.user_id,
        )
    ]
