"""What can be done with partners' credentials."""

from __future__ import annotations

import msgspec

from chargekey_common import names
from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import (
    Answer,
    CommandIdReusedError,
    Context,
    EventStore,
    Work,
    command,
)
from chargekey_identity.domain import credential
from chargekey_identity.domain.errors import CredentialRefusedError, CredentialUnknownError
from chargekey_identity.domain.secret import Secrets
from chargekey_identity.tables.signing_keys import AccessToken, SigningKeys

# Wrong secrets for one credential within so many seconds. The right one is always let in:
# who knows no more than a credential's id shuts nobody out.
MOST = 10
WITHIN = 60.0


class IssuedCredential(msgspec.Struct, frozen=True):
    """A credential and its secret, which is never told again to anybody else."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"IssuedCredential(id={self.id!r})"


class PartnerToken(msgspec.Struct, frozen=True):
    """What a partner's program calls with."""

    partner_id: str
    access: AccessToken


class Credentials:
    """Every command on a credential, and what it is for."""

    def __init__(
        self, store: EventStore, secrets: Secrets, signing_keys: SigningKeys, attempts: Attempts
    ) -> None:
        self.store = store
        self._secrets = secrets
        self._signing_keys = signing_keys
        self._attempts = attempts

    def issue(self, context: Context, *, partner_id: str, label: str) -> Answer[IssuedCredential]:
        """Give a partner that exists a secret of 256 bits.

        It follows from the command, so that the same caller who sends it again, not
        having heard the answer, hears it now. Raises CommandIdReusedError where it was
        sent for another partner, and CredentialUnknownError where it was revoked since.
        """
        recorded = self.issue_partner_credential(context, partner_id=partner_id, label=label)
        key = recorded.result
        made = self.store.load(credential.evolve, key).state
        if credential.existing(made).partner_id != partner_id:
            raise CommandIdReusedError
        secret = self._secrets.derive(key, context.command_id)
        return Answer(IssuedCredential(key, secret), recorded.position)

    @command
    def issue_partner_credential(self, work: Work, *, partner_id: str, label: str) -> str:
        """Record a credential and return its id; of the secret a keyed hash alone."""
        loaded = work.load(credential.evolve, new_id())
        secret = self._secrets.derive(loaded.id, work.cause)
        events = credential.issue(
            partner_id=partner_id,
            label=names.name(label),
            secret_hash=self._secrets.hash(loaded.id, secret),
        )
        work.record(loaded, *events)
        return loaded.id

    @command
    def revoke_partner_credential(self, work: Work, *, credential_id: str) -> None:
        """Let a secret open nothing any more."""
        loaded = work.load(credential.evolve, credential_id)
        work.record(loaded, *credential.revoke(loaded.state))

    def exchange(self, credential_id: str, secret: str) -> PartnerToken:
        """Return an access token for a secret.

        Raises CredentialRefusedError, the same for one that is unknown, was revoked or
        does not match, and TooManyAttemptsError.
        """
        try:
            found = credential.existing(self.store.load(credential.evolve, credential_id).state)
        except CredentialUnknownError:
            raise CredentialRefusedError from None
        if not self._secrets.matches(found.secret_hash, credential_id, secret):
            self._attempts.spend(f"credential {credential_id}", most=MOST, within=WITHIN)
            raise CredentialRefusedError
        token = self._signing_keys.sign(f"partner:{found.partner_id}")
        return PartnerToken(found.partner_id, token)
