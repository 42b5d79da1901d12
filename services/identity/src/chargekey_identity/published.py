"""The only translation of identity's stored events into published ones: no name, no code."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey_common.eventstore.records import Record
from chargekey_common.published import identity as published
from chargekey_common.relay import Publication
from chargekey_identity.domain import events


def publication(record: Record) -> Publication:
    """Return what the stream is told about a stored event."""
    key = record.originator_id
    match record.event:
        case events.LocalUserAdded(installation_id=site, blocked=blocked):
            return Publication(
                published.LocalUserAdded(user_id=key, installation_id=site, blocked=blocked)
            )
        case events.UserRenamed():
            return Publication(published.UserRenamed(user_id=key))
        case events.UserBlocked(installation_id=site):
            return Publication(published.UserBlocked(user_id=key, installation_id=site))
        case events.UserUnblocked(installation_id=site):
            return Publication(published.UserUnblocked(user_id=key, installation_id=site))
        case events.IdentificationAdded() as added:
            return Publication(
                published.IdentificationAdded(
                    user_id=added.user_id,
                    identification_id=key,
                    type=added.type,
                    status=added.status,
                    installation_id=added.installation_id,
                    valid_until=added.valid_until,
                ),
                private=_key(key, added.keyed_id),
            )
        case events.IdentificationStatusChanged(user_id=user, status=status):
            return Publication(
                published.IdentificationStatusChanged(
                    user_id=user, identification_id=key, status=status
                )
            )
        case events.IdentificationExpiryChanged(user_id=user, valid_until=end):
            return Publication(
                published.IdentificationExpiryChanged(
                    user_id=user, identification_id=key, valid_until=end
                )
            )
        case events.IdentificationCodeChanged(user_id=user, keyed_id=keyed_id):
            return Publication(
                published.IdentificationCodeChanged(user_id=user, identification_id=key),
                private=_key(key, keyed_id),
                erased=[_key_subject(key)],
            )
        case events.IdentificationRemoved(user_id=user):
            return Publication(
                published.IdentificationRemoved(user_id=user, identification_id=key),
                erased=[_key_subject(key)],
            )
        case events.CodeRevealed(user_id=user):
            return Publication(published.CodeRevealed(user_id=user, identification_id=key))
        case events.CodeReserved(user_id=user, identification_id=identification):
            return Publication(
                published.CodeReserved(user_id=user, identification_id=identification)
            )
        case events.CodeReleased(user_id=user, identification_id=identification):
            return Publication(
                published.CodeReleased(user_id=user, identification_id=identification)
            )
        case unknown:
            raise TypeError(type(unknown).__name__)


def _key(identification_id: str, keyed_id: str) -> Sequence[published.IdentificationKey]:
    """Return the private message; none where the user's key is destroyed, as in a later refill."""
    if not keyed_id:
        return ()
    return [published.IdentificationKey(identification_id=identification_id, keyed_id=keyed_id)]


def _key_subject(identification_id: str) -> str:
    return published.IdentificationKey(identification_id=identification_id, keyed_id="").subject
