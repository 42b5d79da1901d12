"""When something last changed for whom, and when something was last taken from somebody.

Times of the events themselves and nothing but the latest, so every replica has the same,
however the two streams met.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.saved import SavedChanges


def _always(_: PublishedEvent) -> bool:
    return True


def _permitted_there(
    event: access.PermissionGranted | access.PermissionChanged | access.PermissionRevoked,
) -> str:
    return event.charger_id or event.installation_id


# Tables, since a view is filled with a million of these. Whose chargers an event bears on, or
# which charger; what is not here does not bear on who may charge where.
_CONCERNED: Mapping[type[PublishedEvent], Callable[[Any], str]] = {
    access.PermissionGranted: _permitted_there,
    access.PermissionChanged: _permitted_there,
    access.PermissionRevoked: _permitted_there,
    **dict.fromkeys(
        (
            access.UserBlockedAtInstallation,
            access.UserUnblockedAtInstallation,
            access.InstallationCreated,
            access.AuthorisationRequiredSet,
            access.AuthenticationTypeSet,
            access.PoliciesSet,
            access.OperatorConnected,
            access.OverridesAllowedSet,
            access.OperatorDisconnected,
        ),
        operator.attrgetter("installation_id"),
    ),
    **dict.fromkeys(
        (
            access.ChargerAdded,
            access.AuthorisationOverrideSet,
            access.IdentificationTypesSet,
            access.ReaderQuirksSet,
            access.ChargerMoved,
        ),
        operator.attrgetter("charger_id"),
    ),
    **dict.fromkeys(
        (
            access.PartnerMemberAdded,
            access.PartnerMemberRemoved,
            identity.LocalUserAdded,
            identity.PendingUserAdded,
            identity.EmailVerified,
            identity.UserErased,
            identity.UserBlocked,
            identity.UserUnblocked,
            identity.IdentificationAdded,
            identity.IdentificationStatusChanged,
            identity.IdentificationExpiryChanged,
            identity.IdentificationCodeChanged,
            identity.IdentificationGroupChanged,
            identity.IdentificationRemoved,
        ),
        operator.attrgetter("user_id"),
    ),
}

# Whether an event may take from somebody what he had.
_TAKES: Mapping[type[PublishedEvent], Callable[[Any], bool]] = {
    access.PermissionChanged: lambda event: (
        "USER" not in event.roles or event.valid_until is not None
    ),
    access.AuthorisationRequiredSet: lambda event: event.authorisation_required,
    identity.IdentificationStatusChanged: lambda event: event.status != "ACTIVE",
    identity.IdentificationExpiryChanged: lambda event: event.valid_until is not None,
    **dict.fromkeys(
        (
            access.PermissionRevoked,
            access.UserBlockedAtInstallation,
            access.AuthenticationTypeSet,
            access.OperatorConnected,
            access.OverridesAllowedSet,
            access.OperatorDisconnected,
            access.AuthorisationOverrideSet,
            access.IdentificationTypesSet,
            access.ReaderQuirksSet,
            access.ChargerMoved,
            access.PartnerMemberRemoved,
            identity.UserErased,
            identity.UserBlocked,
            identity.IdentificationCodeChanged,
            identity.IdentificationRemoved,
        ),
        _always,
    ),
}


class Changes:
    """Times in nanoseconds since the epoch, by the id of a user, a charger or an installation.

    And by that of an identification, when its code became another one.
    """

    def __init__(self) -> None:
        self._changed: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        self._recoded: dict[str, int] = {}

    def changed(self, thing: str) -> int:
        """Return when anything last changed there; 0 for never."""
        return self._changed.get(thing, 0)

    def taken(self, thing: str) -> int:
        """Return when something that was accepted before may have ceased to be; 0 for never."""
        return self._taken.get(thing, 0)

    def recoded(self, identification_id: str) -> int:
        """Return when its code last became another one; 0 for never."""
        return self._recoded.get(identification_id, 0)

    def saved(self) -> SavedChanges:
        """Return all of it, for a snapshot."""
        return SavedChanges(self._changed, self._taken, self._recoded)

    def restore(self, saved: SavedChanges) -> None:
        """Know what was saved, and nothing else."""
        self._changed = saved.changed
        self._taken = saved.taken
        self._recoded = saved.recoded

    def note(self, event: PublishedEvent, at: int) -> None:
        """Know that this event happened at `at`."""
        kind = type(event)
        concerned_by = _CONCERNED.get(kind)
        if concerned_by is None:  # it does not bear on who may charge where
            return
        concerned = concerned_by(event)
        if at > self._changed.get(concerned, 0):
            self._changed[concerned] = at
        takes = _TAKES.get(kind)
        if takes is not None and takes(event):
            self._taken[concerned] = max(at, self.taken(concerned))
        if isinstance(event, identity.IdentificationCodeChanged):
            recoded = event.identification_id
            self._recoded[recoded] = max(at, self.recoded(recoded))
