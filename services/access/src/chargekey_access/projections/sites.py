"""Installations and their chargers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from chargekey_access.domain import charger, installation
from chargekey_access.domain.charger import Charger
from chargekey_access.domain.errors import ChargerUnknownError
from chargekey_access.domain.events import ChargerEvent, InstallationEvent
from chargekey_access.domain.installation import Installation
from chargekey_common.eventstore.projection import CaughtUp


class Sites:
    """Answers about what stands where."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._installations: dict[str, Installation] = {}
        self._chargers: dict[str, Charger] = {}
        self._by_identity: dict[str, str] = {}
        # Also those that were moved away: pages keep their order.
        self._ever_at: dict[str, dict[str, None]] = defaultdict(dict)

    def installation(self, installation_id: str) -> Installation:
        """Return the installation; raises InstallationUnknownError."""
        with self._caught_up():
            return installation.existing(self._installations.get(installation_id))

    def installations(self) -> Sequence[tuple[str, Installation]]:
        """Return all of them with their ids, oldest first."""
        with self._caught_up():
            return list(self._installations.items())

    def charger(self, charger_id: str) -> Charger:
        """Return the charger; raises ChargerUnknownError."""
        with self._caught_up():
            return charger.existing(self._chargers.get(charger_id))

    def charger_id(self, ocpp_identity: str) -> str:
        """Return the id of the charger that connects so; raises ChargerUnknownError."""
        with self._caught_up():
            if ocpp_identity not in self._by_identity:
                raise ChargerUnknownError
            return self._by_identity[ocpp_identity]

    def charger_ids(self) -> Sequence[str]:
        """Return the ids of all chargers, oldest first."""
        with self._caught_up():
            return list(self._chargers)

    def ever_at(self, installation_id: str) -> Mapping[str, Charger]:
        """Return the chargers that stand or once stood at an installation, by id, oldest first.

        Raises InstallationUnknownError.
        """
        self.installation(installation_id)
        with self._caught_up():
            return {key: self._chargers[key] for key in self._ever_at.get(installation_id, ())}

    def open_chargers(self, installation_id: str) -> int:
        """Return at how many chargers anybody may charge; raises InstallationUnknownError."""
        with self._caught_up():
            site = self.installation(installation_id)
            here = (self._chargers[key] for key in self._ever_at.get(installation_id, ()))
            return sum(
                not each.authorisation_required(site)
                for each in here
                if each.installation_id == installation_id
            )

    def apply(self, key: str, event: InstallationEvent | ChargerEvent) -> None:
        """Take in one event."""
        if isinstance(event, InstallationEvent):
            self._installations[key] = installation.evolve(self._installations.get(key), event)
            return
        state = charger.evolve(self._chargers.get(key), event)
        self._chargers[key] = state
        self._by_identity[state.ocpp_identity] = key
        self._ever_at[state.installation_id][key] = None
