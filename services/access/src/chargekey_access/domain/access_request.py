"""Asking for access: who, for which roles, and what became of it (R8)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, assert_never

import msgspec
from msgspec.structs import replace

from chargekey_access.domain.errors import (
    AccessRequestAnsweredError,
    AccessRequestExpiredError,
    AccessRequestUnknownError,
    RolesNotAskedError,
)
from chargekey_access.domain.events import (
    AccessRequestApproved,
    AccessRequestDenied,
    AccessRequested,
    AccessRequestEvent,
    AccessRequestWithdrawn,
    Role,
)
from chargekey_access.domain.permission import Subject

State = Literal["WAITING", "APPROVED", "DENIED", "WITHDRAWN", "EXPIRED"]

# Nanoseconds that an owner has to answer.
LIFETIME = 14 * 86_400 * 10**9


class AccessRequest(msgspec.Struct, frozen=True):
    """The request as of its last event; `expires_at` is exclusive, in nanoseconds.

    `answer` is None while nobody has answered and nobody has withdrawn it.
    """

    subject: Subject
    installation_id: str | None
    roles: tuple[Role, ...]
    expires_at: int
    answer: Literal["APPROVED", "DENIED", "WITHDRAWN"] | None = None

    def state(self, *, now: int) -> State:
        """Tell what became of it by `now`, in nanoseconds since the epoch."""
        if self.answer is not None:
            return self.answer
        return "WAITING" if now < self.expires_at else "EXPIRED"

    def waits(self, *, now: int) -> bool:
        """Whether it can be answered."""
        return self.state(now=now) == "WAITING"


def evolve(state: AccessRequest | None, event: AccessRequestEvent) -> AccessRequest:
    """Return the request after `event`."""
    match event:
        case AccessRequested():
            return AccessRequest(
                Subject(event.user_id, event.partner_id),
                event.installation_id,
                event.roles,
                event.expires_at,
            )
        case AccessRequestApproved():
            return replace(existing(state), answer="APPROVED")
        case AccessRequestDenied():
            return replace(existing(state), answer="DENIED")
        case AccessRequestWithdrawn():
            return replace(existing(state), answer="WITHDRAWN")
        case _:
            assert_never(event)


def existing(state: AccessRequest | None) -> AccessRequest:
    """Return the request; raises AccessRequestUnknownError."""
    if state is None:
        raise AccessRequestUnknownError
    return state


def ask(
    subject: Subject, *, installation_id: str | None, roles: tuple[Role, ...], now: int
) -> Sequence[AccessRequestEvent]:
    """Ask for roles, at one installation or wherever an owner approves."""
    return [
        AccessRequested(
            user_id=subject.user_id,
            partner_id=subject.partner_id,
            installation_id=installation_id,
            roles=roles,
            expires_at=now + LIFETIME,
        )
    ]


def asked_there(
    state: AccessRequest | None, installation_id: str, *, by_link: bool
) -> AccessRequest:
    """Return the request where an owner of this installation may answer it.

    One that names no installation is for whoever was sent its link. Raises
    AccessRequestUnknownError.
    """
    request = existing(state)
    asked_of = request.installation_id
    if asked_of != installation_id and not (by_link and asked_of is None):
        raise AccessRequestUnknownError
    return request


def answerable(request: AccessRequest, *, now: int) -> AccessRequest:
    """Return it where it waits; AccessRequestAnsweredError or AccessRequestExpiredError."""
    if request.answer is not None:
        raise AccessRequestAnsweredError
    if not request.waits(now=now):
        raise AccessRequestExpiredError
    return request


def granted(request: AccessRequest, roles: Collection[Role]) -> Collection[Role]:
    """Return what is granted: `roles`, or all that was asked for; raises RolesNotAskedError."""
    if not set(roles) <= set(request.roles):
        raise RolesNotAskedError
    return roles or request.roles


def approve(*, installation_id: str, permission_id: str) -> Sequence[AccessRequestEvent]:
    """Say yes, by the permission granted in the same save."""
    return [AccessRequestApproved(installation_id=installation_id, permission_id=permission_id)]


def deny(request: AccessRequest, *, installation_id: str, now: int) -> Sequence[AccessRequestEvent]:
    """Say no; raises what `answerable` raises."""
    answerable(request, now=now)
    return [AccessRequestDenied(installation_id=installation_id)]


def withdraw(state: AccessRequest | None, *, now: int) -> Sequence[AccessRequestEvent]:
    """Ask no longer; raises AccessRequestUnknownError and what `answerable` raises."""
    answerable(existing(state), now=now)
    return [AccessRequestWithdrawn()]
