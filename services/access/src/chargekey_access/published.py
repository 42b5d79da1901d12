"""The only translation of access's stored events into published ones."""

from __future__ import annotations

from chargekey_access.domain import events
from chargekey_common.eventstore.records import Record
from chargekey_common.published import access as published
from chargekey_common.relay import Publication


def publication(record: Record) -> Publication:
    """Return what the stream is told about a stored event."""
    key = record.originator_id
    match record.event:
        case events.InstallationCreated(name=name, time_zone=zone, authorisation_required=required):
            return Publication(
                published.InstallationCreated(
                    installation_id=key,
                    name=name,
                    time_zone=zone,
                    authorisation_required=required,
                )
            )
        case events.AuthorisationRequiredSet(authorisation_required=required):
            return Publication(
                published.AuthorisationRequiredSet(
                    installation_id=key, authorisation_required=required
                )
            )
        case events.OwnerAdded(installation_id=site, user_id=user):
            return Publication(published.OwnerAdded(installation_id=site, user_id=user))
        case events.OwnerRemoved(installation_id=site, user_id=user):
            return Publication(published.OwnerRemoved(installation_id=site, user_id=user))
        case events.ChargerAdded() as added:
            return Publication(
                published.ChargerAdded(
                    charger_id=key,
                    installation_id=added.installation_id,
                    ocpp_identity=added.ocpp_identity,
                    authorisation_override=added.authorisation_override,
                    identification_types=added.identification_types,
                ),
                private=[
                    published.ChargerCredential(charger_id=key, password_hash=added.password_hash)
                ],
            )
        case events.AuthorisationOverrideSet(installation_id=site, authorisation_override=override):
            return Publication(
                published.AuthorisationOverrideSet(
                    charger_id=key, installation_id=site, authorisation_override=override
                )
            )
        case events.IdentificationTypesSet(installation_id=site, identification_types=types):
            return Publication(
                published.IdentificationTypesSet(
                    charger_id=key, installation_id=site, identification_types=types
                )
            )
        case events.PermissionGranted() as granted:
            return Publication(
                published.PermissionGranted(
                    permission_id=key,
                    installation_id=granted.installation_id,
                    charger_id=granted.charger_id,
                    user_id=granted.user_id,
                    roles=granted.roles,
                    valid_until=granted.valid_until,
                )
            )
        case events.PermissionChanged() as changed:
            return Publication(
                published.PermissionChanged(
                    permission_id=key,
                    installation_id=changed.installation_id,
                    charger_id=changed.charger_id,
                    user_id=changed.user_id,
                    roles=changed.roles,
                    valid_until=changed.valid_until,
                )
            )
        case events.PermissionRevoked(installation_id=site, charger_id=charger, user_id=user):
            return Publication(
                published.PermissionRevoked(
                    permission_id=key, installation_id=site, charger_id=charger, user_id=user
                )
            )
        case unknown:
            raise TypeError(type(unknown).__name__)
