"""When something last changed for whom, and when something was last taken from somebody.

Times of the events themselves and nothing but the latest, so every replica has the same,
however the two streams met.
"""

from __future__ import annotations

from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent


class Changes:
    """Times in nanoseconds since the epoch, by the id of a user, a charger or an installation."""

    def __init__(self) -> None:
        self._changed: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def changed(self, thing: str) -> int:
        """Return when anything last changed there; 0 for never."""
        return self._changed.get(thing, 0)

    def taken(self, thing: str) -> int:
        """Return when something that was accepted before may have ceased to be; 0 for never."""
        return self._taken.get(thing, 0)

    def note(self, event: PublishedEvent, at: int) -> None:
        """Know that this event happened at `at`."""
        concerned = _concerned(event)
        if concerned is None:
            return
        self._changed[concerned] = max(at, self.changed(concerned))
        if _takes(event):
            self._taken[concerned] = max(at, self.taken(concerned))


def _concerned(event: PublishedEvent) -> str | None:
    """Return the one whose chargers, or which charger, it bears on; None for nobody."""
    match event:
        case access.PermissionGranted() | access.PermissionChanged() | access.PermissionRevoked():
            return event.charger_id or event.installation_id
        case (
            access.UserBlockedAtInstallation()
            | access.UserUnblockedAtInstallation()
            | access.InstallationCreated()
            | access.AuthorisationRequiredSet()
            | access.AuthenticationTypeSet()
            | access.PoliciesSet()
            | access.OperatorConnected()
            | access.OverridesAllowedSet()
            | access.OperatorDisconnected()
        ):
            return event.installation_id
        case (
            access.ChargerAdded()
            | access.AuthorisationOverrideSet()
            | access.IdentificationTypesSet()
            | access.ReaderQuirksSet()
            | access.ChargerMoved()
        ):
            return event.charger_id
        case (
            access.PartnerMemberAdded()
            | access.PartnerMemberRemoved()
            | identity.LocalUserAdded()
            | identity.PendingUserAdded()
            | identity.EmailVerified()
            | identity.UserErased()
            | identity.UserBlocked()
            | identity.UserUnblocked()
            | identity.IdentificationAdded()
            | identity.IdentificationStatusChanged()
            | identity.IdentificationExpiryChanged()
            | identity.IdentificationCodeChanged()
            | identity.IdentificationGroupChanged()
            | identity.IdentificationRemoved()
        ):
            return event.user_id
        case _:  # the rest does not bear on who may charge where
            return None


def _takes(event: PublishedEvent) -> bool:
    match event:
        case access.PermissionChanged():
            return "USER" not in event.roles or event.valid_until is not None
        case access.AuthorisationRequiredSet():
            return event.authorisation_required
        case identity.IdentificationStatusChanged():
            return event.status != "ACTIVE"
        case identity.IdentificationExpiryChanged():
            return event.valid_until is not None
        case (
            access.PermissionRevoked()
            | access.UserBlockedAtInstallation()
            | access.AuthenticationTypeSet()
            | access.OperatorConnected()
            | access.OverridesAllowedSet()
            | access.OperatorDisconnected()
            | access.AuthorisationOverrideSet()
            | access.IdentificationTypesSet()
            | access.ReaderQuirksSet()
            | access.ChargerMoved()
            | access.PartnerMemberRemoved()
            | identity.UserErased()
            | identity.UserBlocked()
            | identity.IdentificationCodeChanged()
            | identity.IdentificationRemoved()
        ):
            return True
        case _:
            return False
