"""The only translation of access's stored events into published ones."""

from __future__ import annotations

from chargekey_access.domain import events
from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.published import access as published
from chargekey_common.published.envelope import PublishedEvent, retold
from chargekey_common.relay import Publication

# Published events are called as the stored ones.
_PUBLISHED: dict[str, type[PublishedEvent]] = {event.__name__: event for event in published.EVENTS}


def publication(record: Record) -> Publication:
    """Return what the stream is told about a stored event."""
    key = record.originator_id
    event = record.event
    match event:
        case events.ChargerAdded() | events.ChargerPasswordReplaced():
            credential = published.ChargerCredential(
                charger_id=key, password_hash=event.password_hash
            )
            told = retold(event, _PUBLISHED[type(event).__name__], charger_id=key)
            return Publication(told, private=[credential])
        case (
            events.InstallationCreated()
            | events.InstallationRenamed()
            | events.InstallationAddressSet()
            | events.AuthorisationRequiredSet()
            | events.AuthenticationTypeSet()
            | events.PoliciesSet()
            | events.OperatorConnected()
            | events.OverridesAllowedSet()
            | events.OperatorDisconnected()
        ):
            return _same(event, installation_id=key)
        case (
            events.AuthorisationOverrideSet()
            | events.IdentificationTypesSet()
            | events.ReaderQuirksSet()
            | events.ChargerMoved()
        ):
            return _same(event, charger_id=key)
        case events.PermissionGranted() | events.PermissionChanged() | events.PermissionRevoked():
            return _same(event, permission_id=key)
        case (
            events.PartnerCreated()
            | events.PartnerChanged()
            | events.LookupKeyRotated()
            | events.PartnerMemberAdded()
            | events.PartnerMemberRemoved()
            | events.DecisionEndpointSet()
            | events.DecisionEndpointRemoved()
        ):
            return _same(event, partner_id=key)
        case (
            events.AccessRequested()
            | events.AccessRequestApproved()
            | events.AccessRequestDenied()
            | events.AccessRequestWithdrawn()
        ):
            return _same(event, access_request_id=key)
        case (
            events.OwnerAdded()
            | events.OwnerAccepted()
            | events.OwnerRemoved()
            | events.UserBlockedAtInstallation()
            | events.UserUnblockedAtInstallation()
            | events.OwnershipOffered()
            | events.OwnershipOfferWithdrawn()
            | events.OwnershipTransferred()
            | events.LookupKeyTaken()
            | events.LookupKeyFreed()
            | events.UserForgotten()
            | events.UserArrived()
        ):
            return _same(event)  # says itself what it is about: its aggregate's id is derived
        case unknown:
            raise TypeError(type(unknown).__name__)


def _same(event: DomainEvent, **ids: str) -> Publication:
    return Publication(retold(event, _PUBLISHED[type(event).__name__], **ids))
