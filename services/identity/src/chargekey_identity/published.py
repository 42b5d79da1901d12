"""The only translation of identity's stored events into published ones: no name, no code."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.published import identity as published
from chargekey_common.published.envelope import PublishedEvent, retold
from chargekey_common.relay import Publication
from chargekey_identity.domain import events

# Published events are called as the stored ones.
_PUBLISHED: dict[str, type[PublishedEvent]] = {event.__name__: event for event in published.EVENTS}


def publication(record: Record) -> Publication:
    """Return what the stream is told about a stored event."""
    key = record.originator_id
    event = record.event
    match event:
        case events.IdentificationAdded():
            return Publication(
                retold(event, published.IdentificationAdded, identification_id=key),
                private=_key(key, event),
            )
        case events.IdentificationCodeChanged():
            return Publication(
                retold(event, published.IdentificationCodeChanged, identification_id=key),
                private=_key(key, event),
                erased=[_key_subject(key)],
            )
        case events.IdentificationRemoved():
            return Publication(
                retold(event, published.IdentificationRemoved, identification_id=key),
                erased=[_key_subject(key)],
            )
        case (
            events.IdentificationStatusChanged()
            | events.IdentificationExpiryChanged()
            | events.IdentificationGroupChanged()
            | events.CodeRevealed()
        ):
            return _same(event, identification_id=key)
        case (
            events.LocalUserAdded()
            | events.PendingUserAdded()
            | events.EmailVerified()
            | events.OpenIdLinked()
            | events.AccessProposed()
            | events.ProfileChanged()
            | events.SignInLinkRequested()
            | events.SignedIn()
            | events.SignedInAs()
            | events.ActedAsAdministrator()
            | events.UserExported()
            | events.UserErased()
            | events.UserRenamed()
            | events.UserBlocked()
            | events.UserUnblocked()
        ):
            return _same(event, user_id=key)
        case (
            events.InvitationCreated()
            | events.InvitationRenewed()
            | events.InvitationAccepted()
            | events.InvitationRevoked()
        ):
            return _same(event, invitation_id=key)
        case events.PartnerCredentialIssued() | events.PartnerCredentialRevoked():
            return _same(event, credential_id=key)
        case (
            events.CodeReserved()
            | events.CodeReleased()
            | events.EmailReserved()
            | events.EmailReleased()
            | events.LocalListCodesRevealed()
        ):
            return _same(event)  # says itself whose it is: its aggregate's id is derived
        case unknown:
            raise TypeError(type(unknown).__name__)


def _same(event: DomainEvent, **ids: str) -> Publication:
    return Publication(retold(event, _PUBLISHED[type(event).__name__], **ids))


def _key(
    identification_id: str, event: events.IdentificationAdded | events.IdentificationCodeChanged
) -> Sequence[published.IdentificationKey]:
    """Return the private message; none where the user's key is destroyed, as in a later refill."""
    if not event.keyed_id:
        return ()
    return [retold(event, published.IdentificationKey, identification_id=identification_id)]


def _key_subject(identification_id: str) -> str:
    return published.IdentificationKey(identification_id=identification_id, keyed_id="").subject
