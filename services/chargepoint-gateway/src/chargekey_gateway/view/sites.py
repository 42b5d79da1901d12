"""Installations, chargers and permissions, from the ACCESS stream."""

from __future__ import annotations

from typing import Literal

from chargekey_common.published import access
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.entries import NEVER, Charger, Grant, Installation
from chargekey_gateway.view.people import People


class Sites:
    """What stands where, and who may charge at it. Every method is plain memory."""

    def __init__(self, people: People) -> None:
        self.installations: dict[str, Installation] = {}
        self.chargers: dict[str, Charger] = {}
        self.by_ocpp_identity: dict[str, Charger] = {}
        self._people = people
        # A credential comes before its charger.
        self._password_hashes: dict[str, str] = {}

    def forget(self) -> None:
        """Drop what access told; a Charger that connections hold is the same when it is back."""
        self.by_ocpp_identity.clear()
        self._password_hashes.clear()
        for installation in self.installations.values():
            installation.authorisation_required = True
        for charger in self.chargers.values():
            charger.ocpp_identity = ""
            charger.authorisation_override = "INHERIT"
            charger.identification_types = frozenset()
            charger.password_hash = None
            charger.registered = False
        for user_id in self._people.users:
            self._people.set_grants(user_id, ())

    def apply(self, event: PublishedEvent) -> None:
        """Apply a published event."""
        match event:
            case access.InstallationCreated() | access.AuthorisationRequiredSet():
                installation = self._installation(event.installation_id)
                installation.authorisation_required = event.authorisation_required
            case access.ChargerAdded():
                self._add(event)
            case access.AuthorisationOverrideSet():
                charger = self._charger(event.charger_id, event.installation_id)
                charger.authorisation_override = event.authorisation_override
            case access.IdentificationTypesSet():
                charger = self._charger(event.charger_id, event.installation_id)
                charger.identification_types = frozenset(event.identification_types)
            case access.PermissionGranted() | access.PermissionChanged():
                self._grant(event)
            case access.PermissionRevoked():
                self._revoke(event.user_id, event.permission_id)
            case _:  # the rest of the stream does not bear on who may charge
                pass

    def set_credential(self, event: access.ChargerCredential) -> None:
        """Let the charger sign in with the password of this hash, and with no older one."""
        self._password_hashes[event.charger_id] = event.password_hash
        charger = self.chargers.get(event.charger_id)
        if charger is not None:
            charger.password_hash = event.password_hash

    def state(self) -> dict[str, object]:
        """Return all of it as plain values in a fixed order, for the digest."""
        chargers = sorted(self.chargers.values(), key=lambda charger: charger.id)
        return {
            "installations": sorted(
                (installation.id, installation.authorisation_required)
                for installation in self.installations.values()
            ),
            "chargers": [
                (
                    charger.id,
                    charger.installation.id,
                    charger.ocpp_identity,
                    charger.authorisation_override,
                    sorted(charger.identification_types),
                    charger.password_hash,
                )
                for charger in chargers
                if charger.registered
            ],
        }

    def _installation(self, installation_id: str) -> Installation:
        known = self.installations.get(installation_id)
        if known is None:
            known = self.installations[installation_id] = Installation(installation_id)
        return known

    def _charger(self, charger_id: str, installation_id: str) -> Charger:
        known = self.chargers.get(charger_id)
        if known is None:
            known = Charger(charger_id, self._installation(installation_id))
            self.chargers[charger_id] = known
        return known

    def _add(self, event: access.ChargerAdded) -> None:
        charger = self._charger(event.charger_id, event.installation_id)
        charger.installation = self._installation(event.installation_id)
        charger.ocpp_identity = event.ocpp_identity
        charger.authorisation_override = event.authorisation_override
        charger.identification_types = frozenset(event.identification_types)
        charger.password_hash = self._password_hashes.get(event.charger_id)
        charger.registered = True
        self.by_ocpp_identity[event.ocpp_identity] = charger

    def _grant(self, event: access.PermissionGranted | access.PermissionChanged) -> None:
        self._revoke(event.user_id, event.permission_id)
        if "USER" not in event.roles:  # no other role carries the right to charge
            return
        on: Literal["charger", "installation"]
        target, on = event.installation_id, "installation"
        if event.charger_id is not None:
            target, on = event.charger_id, "charger"
        ends = NEVER if event.valid_until is None else event.valid_until
        grant = Grant(target, on, event.permission_id, ends)
        user = self._people.user(event.user_id)
        self._people.set_grants(user.id, (*user.grants, grant))

    def _revoke(self, user_id: str, permission_id: str) -> None:
        grants = self._people.user(user_id).grants
        rest = tuple(grant for grant in grants if grant.permission_id != permission_id)
        self._people.set_grants(user_id, rest)
