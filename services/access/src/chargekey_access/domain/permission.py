"""A permission: one subject's set of roles on one target (R4, R5, R8, R10)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, assert_never

import msgspec
from msgspec.structs import replace

from chargekey_access.domain.errors import (
    LocalUserCannotOwnError,
    NotAPaymentOperatorError,
    OperatorWithoutEndError,
    OwnerWithoutEndError,
    PartnerCannotOwnError,
    PermissionUnknownError,
    RolesMissingError,
)
from chargekey_access.domain.events import (
    PartnerKind,
    PermissionChanged,
    PermissionEvent,
    PermissionGranted,
    PermissionRevoked,
    Role,
)
from chargekey_access.domain.ids import derived

SubjectKind = Literal["LOCAL", "PERSON"] | PartnerKind
"""What a subject is: a LOCAL user, anybody else, or one of the kinds of partners."""


class Target(msgspec.Struct, frozen=True):
    """An installation, or one charger of it."""

    installation_id: str
    charger_id: str | None = None


class Subject(msgspec.Struct, frozen=True):
    """Who holds a permission: a user, or a partner for all its members (R8)."""

    user_id: str | None = None
    partner_id: str | None = None


class Permission(msgspec.Struct, frozen=True):
    """The permission as of its last event; a revoked one holds no roles."""

    target: Target
    subject: Subject
    roles: tuple[Role, ...]
    valid_until: int | None
    local: bool

    @property
    def holds(self) -> bool:
        """Whether it was not revoked."""
        return bool(self.roles)

    def counts(self, *, now: int) -> bool:
        """Whether it was neither revoked nor has ended (R10); `now` in nanoseconds."""
        return self.holds and (self.valid_until is None or now < self.valid_until)


def permission_id(subject: Subject, target: Target) -> str:
    """One permission per subject and target, so that granting twice meets itself."""
    # The kind stands in it: a partner's permission never meets a user's of the same id.
    if subject.partner_id is not None:
        holder = ("partner", subject.partner_id)
    else:
        holder = ("user", subject.user_id or "")
    return derived("permission", *holder, target.installation_id, target.charger_id or "")


def evolve(state: Permission | None, event: PermissionEvent) -> Permission:
    """Return the permission after `event`."""
    match event:
        case PermissionGranted():
            return Permission(
                Target(event.installation_id, event.charger_id),
                Subject(event.user_id, event.partner_id),
                event.roles,
                event.valid_until,
                event.local,
            )
        case PermissionChanged():
            return replace(existing(state), roles=event.roles, valid_until=event.valid_until)
        case PermissionRevoked():
            return replace(existing(state), roles=(), valid_until=None)
        case _:
            assert_never(event)


def existing(state: Permission | None) -> Permission:
    """Return a permission that holds; raises PermissionUnknownError."""
    if state is None or not state.holds:
        raise PermissionUnknownError
    return state


def role_set(
    kind: SubjectKind, target: Target, roles: Iterable[Role], valid_until: int | None
) -> tuple[Role, ...]:
    """Return the roles as a set, in order, where such a subject can hold them there.

    Raises RolesMissingError, LocalUserCannotOwnError, PartnerCannotOwnError,
    NotAPaymentOperatorError, OwnerWithoutEndError or OperatorWithoutEndError.
    """
    wanted: tuple[Role, ...] = tuple(sorted(set(roles)))
    if not wanted:
        raise RolesMissingError
    if "OWNER" in wanted:
        if kind == "LOCAL":
            raise LocalUserCannotOwnError
        if kind != "PERSON":
            raise PartnerCannotOwnError
        if valid_until is not None:
            raise OwnerWithoutEndError
    if "OPERATOR" in wanted:
        if kind != "PAYMENT_OPERATOR" or target.charger_id is not None:
            raise NotAPaymentOperatorError
        if valid_until is not None:
            raise OperatorWithoutEndError
    return wanted


def grant(
    state: Permission | None,
    *,
    target: Target,
    subject: Subject,
    kind: SubjectKind,
    roles: Iterable[Role],
    valid_until: int | None,
    invited: bool = False,
) -> Sequence[PermissionEvent]:
    """Give a subject exactly these roles there; once given, giving again does nothing (R4).

    Raises what `role_set` raises.
    """
    wanted = role_set(kind, target, roles, valid_until)
    if state is None or not state.holds:
        return [
            PermissionGranted(
                installation_id=target.installation_id,
                charger_id=target.charger_id,
                user_id=subject.user_id,
                partner_id=subject.partner_id,
                roles=wanted,
                valid_until=valid_until,
                local=kind == "LOCAL",
                invited=invited,
            )
        ]
    if (state.roles, state.valid_until) == (wanted, valid_until):
        return []
    return [
        PermissionChanged(
            installation_id=target.installation_id,
            charger_id=target.charger_id,
            user_id=subject.user_id,
            partner_id=subject.partner_id,
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
            user_id=permission.subject.user_id,
            partner_id=permission.subject.partner_id,
        )
    ]
