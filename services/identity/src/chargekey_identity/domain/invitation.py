"""An invitation: what becomes of something that was given to an address (R7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec

from chargekey_identity.domain import ids
from chargekey_identity.domain.errors import InvitationSettledError, InvitationUnknownError
from chargekey_identity.domain.events import (
    InvitationAccepted,
    InvitationCreated,
    InvitationEvent,
    InvitationRenewed,
    InvitationRevoked,
)

State = Literal["WAITING", "ACCEPTED", "REVOKED"]

LIFETIME = 7 * 24 * 3600 * 10**9
"""How long a link is good for, in nanoseconds."""


class Given(msgspec.Struct, frozen=True):
    """What was given, and to whom.

    A permission on an installation or a charger, a place in a partner, or, with neither,
    an installation's ownership.
    """

    user_id: str
    installation_id: str | None = None
    charger_id: str | None = None
    permission_id: str | None = None
    partner_id: str | None = None

    @property
    def is_ownership(self) -> bool:
        """Whether an installation's ownership is offered."""
        return self.permission_id is None and self.partner_id is None


class Invitation(msgspec.Struct, frozen=True):
    """The invitation as of its last event; `times_sent` numbers its links from 1.

    `invited_by` is the user who gave what it is to, where that was a person.
    """

    given: Given
    expires_at: int
    times_sent: int = 1
    state: State = "WAITING"
    invited_by: str | None = None

    def is_open(self, now: int) -> bool:
        """Whether its link can be followed; expiry is derived and stored nowhere."""
        return self.state == "WAITING" and now < self.expires_at


def invitation_id(event_id: str) -> str:
    """One invitation per event that led to it, so that a refilled bus invites nobody again."""
    return ids.derived(f"invitation/{event_id}")


def evolve(state: Invitation | None, event: InvitationEvent) -> Invitation:
    """Return the invitation after `event`."""
    match event:
        case InvitationCreated():
            given = Given(
                event.user_id,
                event.installation_id,
                event.charger_id,
                event.permission_id,
                event.partner_id,
            )
            return Invitation(given, event.expires_at, invited_by=event.invited_by)
        case InvitationRenewed():
            before = existing(state)
            return msgspec.structs.replace(
                before, expires_at=event.expires_at, times_sent=before.times_sent + 1
            )
        case InvitationAccepted():
            return msgspec.structs.replace(existing(state), state="ACCEPTED")
        case InvitationRevoked():
            return msgspec.structs.replace(existing(state), state="REVOKED")
        case _:
            assert_never(event)


def existing(state: Invitation | None) -> Invitation:
    """Return the invitation; raises InvitationUnknownError."""
    if state is None:
        raise InvitationUnknownError
    return state


def create(
    state: Invitation | None, given: Given, *, now: int, by: str | None = None
) -> Sequence[InvitationEvent]:
    """Invite somebody, once."""
    if state is not None:
        return []
    return [
        InvitationCreated(
            user_id=given.user_id,
            installation_id=given.installation_id,
            charger_id=given.charger_id,
            permission_id=given.permission_id,
            partner_id=given.partner_id,
            expires_at=now + LIFETIME,
            invited_by=by,
        )
    ]


def renew(state: Invitation | None, *, now: int) -> Sequence[InvitationEvent]:
    """Send another link, also after the last one expired; raises InvitationSettledError."""
    invitation = _waiting(state)
    return [InvitationRenewed(user_id=invitation.given.user_id, expires_at=now + LIFETIME)]


def revoke(state: Invitation | None) -> Sequence[InvitationEvent]:
    """Take it back, once; raises InvitationSettledError where it was accepted."""
    if existing(state).state == "REVOKED":
        return []
    given = _waiting(state).given
    return [
        InvitationRevoked(
            user_id=given.user_id,
            installation_id=given.installation_id,
            permission_id=given.permission_id,
            partner_id=given.partner_id,
        )
    ]


def accept(state: Invitation | None) -> Sequence[InvitationEvent]:
    """Settle one whose person has shown who he is, also where its own link expired."""
    invitation = existing(state)
    if invitation.state != "WAITING":
        return []
    return [InvitationAccepted(user_id=invitation.given.user_id)]


def _waiting(state: Invitation | None) -> Invitation:
    invitation = existing(state)
    if invitation.state != "WAITING":
        raise InvitationSettledError
    return invitation
