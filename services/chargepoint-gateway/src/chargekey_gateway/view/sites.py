"""Installations and chargers, from the ACCESS stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import structlog

from chargekey_common.published import access
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.entries import Charger, Installation, Quirks
from chargekey_gateway.view.saved import SavedCharger, SavedSites

# Beside a permission it takes a remote start.
FROM_AFAR = frozenset({"APP"})
# Seconds: no site allows less, so that a view that is younger is behind nowhere.
LEAST_BOUND = 60.0

log = structlog.get_logger()


class Sites:
    """What stands where. Every method is plain memory."""

    def __init__(self) -> None:
        self.chargers: dict[str, Charger] = {}
        self.by_ocpp_identity: dict[str, Charger] = {}
        self._installations: dict[str, Installation] = {}
        self._standing: dict[str, dict[str, Charger]] = {}  # by installation
        # A credential comes before its charger.
        self._password_hashes: dict[str, str] = {}
        # Where the view is older than it may be. Of this replica alone, and no event's doing:
        # no part of the entries, nor of the digest.
        self._behind: frozenset[str] = frozenset()
        self._listeners: list[Callable[[str], None]] = []
        self._charger_listeners: list[Callable[[str], None]] = []
        # A table, since a view is filled with a million of these.
        self.applied: Mapping[type[PublishedEvent], Callable[[Any], None]] = {
            access.InstallationCreated: self._require,
            access.AuthorisationRequiredSet: self._require,
            access.AuthenticationTypeSet: self._authenticate,
            access.OperatorConnected: self._connect_operator,
            access.OverridesAllowedSet: self._allow_overrides,
            access.OperatorDisconnected: self._disconnect_operator,
            access.PoliciesSet: self._set_policies,
            access.ChargerAdded: self._add,
            access.AuthorisationOverrideSet: self._override,
            access.IdentificationTypesSet: self._set_types,
            access.ReaderQuirksSet: self._set_quirks,
            access.ChargerMoved: self._move,
        }

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of every installation whose settings have just changed."""
        self._listeners.append(listener)

    def on_charger_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of every charger whose settings or place just changed."""
        self._charger_listeners.append(listener)

    def installation(self, installation_id: str) -> Installation:
        """Return the installation; one nobody told of yet is made, and nothing is lost."""
        known = self._installations.get(installation_id)
        if known is None:
            known = self._installations[installation_id] = Installation(installation_id)
        return known

    def charger(self, charger_id: str, installation_id: str) -> Charger:
        """Return the charger; one nobody told of yet is made, at that installation."""
        known = self.chargers.get(charger_id)
        if known is None:
            known = Charger(charger_id, self.installation(installation_id))
            self.chargers[charger_id] = known
            self._standing.setdefault(installation_id, {})[charger_id] = known
        return known

    def chargers_at(self, installation_id: str) -> Collection[Charger]:
        """Return what stands there, also what is not registered."""
        return self._standing.get(installation_id, {}).values()

    def is_behind(self, installation_id: str) -> bool:
        """Whether the site allows no view as old as this one."""
        return installation_id in self._behind

    def set_staleness(self, seconds: float) -> None:
        """Have permissions count only where a view of this age may be gone by."""
        if seconds <= LEAST_BOUND and not self._behind:
            return
        behind = frozenset(
            site.id
            for site in self._installations.values()
            if site.on_view_behind == "DENY" and seconds > site.view_bound_minutes * 60
        )
        if bool(behind) != bool(self._behind):
            log.warning("view_behind" if behind else "view_fresh_again", sites=len(behind))
        changed, self._behind = behind ^ self._behind, behind
        for installation_id in changed:
            for charger in self.chargers_at(installation_id):
                self._arrange(charger)

    def forget(self) -> None:
        """Drop what access told; a Charger that connections hold is the same when it is back."""
        self.by_ocpp_identity.clear()
        self._password_hashes.clear()
        for installation in self._installations.values():
            _forget(installation)
        for charger in self.chargers.values():
            _forget(charger)

    def set_credential(self, event: access.ChargerCredential) -> bool:
        """Let the charger sign in with the password of this hash, and with no older one.

        Return whether it is there already: then it may have had another.
        """
        self._password_hashes[event.charger_id] = event.password_hash
        charger = self.chargers.get(event.charger_id)
        if charger is None:
            return False
        charger.password_hash = event.password_hash
        return True

    def state(self) -> dict[str, object]:
        """Return all of it as plain values in a fixed order, for the digest."""
        installations = sorted(self._installations.values(), key=lambda each: each.id)
        chargers = sorted(self.chargers.values(), key=lambda each: each.id)
        return {
            # One of which nothing was told is as good as none.
            "installations": [each for each in installations if _is_told(each)],
            "chargers": [
                (
                    charger.id,
                    charger.installation.id,
                    charger.ocpp_identity,
                    charger.authorisation_override,
                    sorted(charger.identification_types),
                    sorted(_by_permission(charger)),
                    charger.quirks,
                    charger.password_hash,
                    charger.moves,
                )
                for charger in chargers
                if charger.registered
            ],
        }

    def saved(self) -> SavedSites:
        """Return all of it, for a snapshot."""
        return SavedSites(
            list(self._installations.values()),
            [saved_charger(each) for each in self.chargers.values()],
            {name: each.id for name, each in self.by_ocpp_identity.items()},
            self._password_hashes,
        )

    def restore(self, saved: SavedSites) -> None:
        """Know what was saved; nothing may be known yet."""
        self._installations = {each.id: each for each in saved.installations}
        for each in saved.chargers:
            charger = self.restored(each)
            self.chargers[charger.id] = charger
            self._standing.setdefault(charger.installation.id, {})[charger.id] = charger
            self._arrange(charger)
        self.by_ocpp_identity = {
            name: self.chargers[each] for name, each in saved.by_ocpp_identity.items()
        }
        self._password_hashes = saved.password_hashes

    def targets(self) -> Sequence[Installation | Charger]:
        """Return whatever somebody may hold a permission on, in an order that a snapshot keeps."""
        return [*self._installations.values(), *self.chargers.values()]

    def restored(self, saved: SavedCharger) -> Charger:
        """Return a charger as it was saved, at the installation that there is."""
        return Charger(
            id=saved.id,
            installation=self.installation(saved.installation),
            ocpp_identity=saved.ocpp_identity,
            authorisation_override=saved.authorisation_override,
            identification_types=_shared(saved.identification_types),
            quirks=saved.quirks,
            password_hash=saved.password_hash,
            moves=saved.moves,
            registered=saved.registered,
        )

    # What events do.

    def _require(self, event: access.InstallationCreated | access.AuthorisationRequiredSet) -> None:
        self._set(event.installation_id, authorisation_required=event.authorisation_required)

    def _authenticate(self, event: access.AuthenticationTypeSet) -> None:
        self._set(event.installation_id, external=event.authentication_type == "EXTERNAL")

    def _connect_operator(self, event: access.OperatorConnected) -> None:
        self._set(
            event.installation_id,
            managed_by=event.partner_id,
            overrides_allowed=event.overrides_allowed,
        )

    def _allow_overrides(self, event: access.OverridesAllowedSet) -> None:
        self._set(event.installation_id, overrides_allowed=event.overrides_allowed)

    def _disconnect_operator(self, event: access.OperatorDisconnected) -> None:
        self._set(event.installation_id, managed_by=None, overrides_allowed=True)

    def _set_policies(self, event: access.PoliciesSet) -> None:
        self._set(
            event.installation_id,
            on_block=event.on_block,
            on_revoke=event.on_revoke,
            on_operator_timeout=event.on_operator_timeout,
            offline_unknown_ids=event.offline_unknown_ids,
            offline_pins=event.offline_pins,
            master_pass=event.master_pass,
            view_bound_minutes=event.view_bound_minutes,
            on_view_behind=event.on_view_behind,
        )

    def _override(self, event: access.AuthorisationOverrideSet) -> None:
        charger = self.charger(event.charger_id, event.installation_id)
        charger.authorisation_override = event.authorisation_override
        self._changed(charger)

    def _set_types(self, event: access.IdentificationTypesSet) -> None:
        charger = self.charger(event.charger_id, event.installation_id)
        charger.identification_types = _shared(frozenset(event.identification_types))
        self._changed(charger)

    def _set_quirks(self, event: access.ReaderQuirksSet) -> None:
        charger = self.charger(event.charger_id, event.installation_id)
        charger.quirks = _quirks(event)
        self._changed(charger)

    def _move(self, event: access.ChargerMoved) -> None:
        charger = self.charger(event.charger_id, event.from_installation_id)
        charger.authorisation_override = "INHERIT"
        charger.moves += 1
        self._place(charger, event.installation_id)

    def _set(self, installation_id: str, **settings: str | bool | int | None) -> None:
        installation = self.installation(installation_id)
        for name, value in settings.items():
            setattr(installation, name, value)
        for charger in self.chargers_at(installation.id):
            self._arrange(charger)
        for listener in self._listeners:
            listener(installation.id)

    def _add(self, event: access.ChargerAdded) -> None:
        charger = self.charger(event.charger_id, event.installation_id)
        charger.ocpp_identity = event.ocpp_identity
        charger.authorisation_override = event.authorisation_override
        charger.identification_types = _shared(frozenset(event.identification_types))
        charger.password_hash = self._password_hashes.get(event.charger_id)
        charger.registered = True
        self._place(charger, event.installation_id)
        self.by_ocpp_identity[event.ocpp_identity] = charger

    def _place(self, charger: Charger, installation_id: str) -> None:
        del self._standing[charger.installation.id][charger.id]
        charger.installation = self.installation(installation_id)
        self._standing.setdefault(installation_id, {})[charger.id] = charger
        self._changed(charger)

    def _changed(self, charger: Charger) -> None:
        self._arrange(charger)
        for listener in self._charger_listeners:
            listener(charger.id)

    def _arrange(self, charger: Charger) -> None:
        behind = charger.installation.id in self._behind
        charger.by_permission = frozenset() if behind else _by_permission(charger)


def saved_charger(charger: Charger) -> SavedCharger:
    """Return it as a snapshot has it."""
    return SavedCharger(
        charger.id,
        charger.installation.id,
        charger.ocpp_identity,
        charger.authorisation_override,
        charger.identification_types,
        charger.quirks,
        charger.password_hash,
        charger.moves,
        charger.registered,
    )


def _by_permission(charger: Charger) -> frozenset[str]:
    """Return the types with which a permission is all it takes while the view is fresh."""
    by_permission = charger.authorisation_required and not charger.installation.external
    return _presented_by_hand(charger.identification_types) if by_permission else frozenset()


# Chargers of the same types share one.
@lru_cache(maxsize=128)
def _shared(types: frozenset[str]) -> frozenset[str]:
    return types


@lru_cache(maxsize=128)
def _presented_by_hand(types: frozenset[str]) -> frozenset[str]:
    return types - FROM_AFAR


def _is_told(installation: Installation) -> bool:
    nothing = Installation(installation.id)
    return msgspec.structs.astuple(installation) != msgspec.structs.astuple(nothing)


def _quirks(event: access.ReaderQuirksSet) -> Quirks | None:
    quirks = Quirks(event.reversed, event.truncated, event.prefix)
    return None if quirks == Quirks(reversed=False, truncated=False, prefix="") else quirks


def _forget(entry: Installation | Charger) -> None:
    """Take back everything but what it is and, of a charger, where."""
    for field in msgspec.structs.fields(entry):
        if field.default is not msgspec.NODEFAULT:
            setattr(entry, field.name, field.default)
