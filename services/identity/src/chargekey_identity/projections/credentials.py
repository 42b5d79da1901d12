"""Partners' credentials, by whose they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from chargekey_common.eventstore.projection import CaughtUp
from chargekey_identity.domain import credential
from chargekey_identity.domain.credential import Credential
from chargekey_identity.domain.errors import CredentialUnknownError
from chargekey_identity.domain.events import CredentialEvent


class ListedCredential(msgspec.Struct, frozen=True):
    """A credential, and when it was issued in nanoseconds since the epoch."""

    state: Credential
    issued_at: int


class Credentials:
    """Answers about credentials, oldest first, revoked ones included."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._credentials: dict[str, ListedCredential] = {}
        self._of_partner: dict[str, list[str]] = defaultdict(list)

    def holder_of(self, credential_id: str) -> str:
        """Return the id of the partner that has it, or had; raises CredentialUnknownError."""
        with self._caught_up():
            found = self._credentials.get(credential_id)
        if found is None:
            raise CredentialUnknownError
        return found.state.partner_id

    def of(self, partner_id: str) -> Mapping[str, ListedCredential]:
        """Return a partner's, by id."""
        with self._caught_up():
            keys = self._of_partner.get(partner_id, ())
            return {key: self._credentials[key] for key in keys}

    def apply(self, key: str, event: CredentialEvent, at: int) -> None:
        """Take in one event."""
        before = self._credentials.get(key)
        after = credential.evolve(None if before is None else before.state, event)
        self._credentials[key] = ListedCredential(after, at if before is None else before.issued_at)
        if before is None:
            self._of_partner[after.partner_id].append(key)
