"""A partner's credential: a secret that its programs exchange for access tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from chargekey_identity.domain.errors import CredentialUnknownError
from chargekey_identity.domain.events import (
    CredentialEvent,
    PartnerCredentialIssued,
    PartnerCredentialRevoked,
)


class Credential(msgspec.Struct, frozen=True):
    """The credential as of its last event."""

    partner_id: str
    label: str
    secret_hash: str
    revoked: bool = False

    def __repr__(self) -> str:
        return f"Credential(partner_id={self.partner_id!r}, revoked={self.revoked})"


def evolve(state: Credential | None, event: CredentialEvent) -> Credential:
    """Return the credential after `event`."""
    match event:
        case PartnerCredentialIssued():
            return Credential(event.partner_id, event.label, event.secret_hash)
        case PartnerCredentialRevoked():
            return msgspec.structs.replace(existing(state), revoked=True)
        case _:
            assert_never(event)


def existing(state: Credential | None) -> Credential:
    """Return one that was not revoked; raises CredentialUnknownError."""
    if state is None or state.revoked:
        raise CredentialUnknownError
    return state


def issue(*, partner_id: str, label: str, secret_hash: str) -> Sequence[CredentialEvent]:
    """Let a partner's programs call; several may be live, for one to take another's place."""
    return [PartnerCredentialIssued(partner_id=partner_id, label=label, secret_hash=secret_hash)]


def revoke(state: Credential | None) -> Sequence[CredentialEvent]:
    """Let the secret open nothing any more; raises CredentialUnknownError."""
    return [PartnerCredentialRevoked(partner_id=existing(state).partner_id)]
