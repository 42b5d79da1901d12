"""Installations and their chargers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from chargekey_access.domain import charger, installation
from chargekey_access.domain.charger import Charger
from chargekey_access.domain.errors import ChargerUnknownError
from chargekey_access.domain.events import ChargerEvent, InstallationEvent, Override
from chargekey_access.domain.installation import Installation
from chargekey_common.eventstore.projection import CaughtUp


class Sites:
    """Answers about what stands where."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._installations: dict[str, Installation] = {}
        self._chargers: dict[str, Charger] = {}
        self._by_identity: dict[str, str] = {}
        # Their numbers tell the order of those that stand at several sites.
        self._numbers: dict[str, int] = {}
        # Also those that were moved away: pages keep their order, which the numbers tell.
        self._ever_at: dict[str, dict[str, int]] = defaultdict(dict)
        # Those that stand at a site, by what they deviate in: every page of it asks how many
        # are open, and there may be thousands.
        self._at: dict[str, dict[Override, set[str]]] = defaultdict(lambda: defaultdict(set))

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

    def in_order(self, charger_ids: Iterable[str]) -> Sequence[str]:
        """Return those of them that there are, each once, oldest first."""
        with self._caught_up():
            known = self._numbers.keys() & charger_ids
            return sorted(known, key=self._numbers.__getitem__)

    def at(self, installation_id: str) -> AbstractSet[str]:
        """Return the ids of the chargers that stand at an installation."""
        with self._caught_up():
            return frozenset[str]().union(*self._at.get(installation_id, {}).values())

    def open_at(self, installation_id: str) -> AbstractSet[str]:
        """Return the ids of those of them at which anybody may charge."""
        with self._caught_up():
            return frozenset[str]().union(*self._open(installation_id))

    def ever_at(self, installation_id: str, charger_ids: Iterable[str] = ()) -> Sequence[str]:
        """Return the ids of the chargers that stand or once stood at an installation.

        Of these alone where any are named; oldest first. Raises InstallationUnknownError.
        """
        self.installation(installation_id)
        with self._caught_up():
            here = self._ever_at.get(installation_id, {})
            wanted = set(charger_ids)
            return sorted(wanted & here.keys(), key=here.__getitem__) if wanted else list(here)

    def open_chargers(self, installation_id: str) -> int:
        """Return at how many chargers anybody may charge; raises InstallationUnknownError."""
        with self._caught_up():
            return sum(map(len, self._open(installation_id)))

    def apply(self, key: str, event: InstallationEvent | ChargerEvent) -> None:
        """Take in one event."""
        if isinstance(event, InstallationEvent):
            self._installations[key] = installation.evolve(self._installations.get(key), event)
            return
        before = self._chargers.get(key)
        after = charger.evolve(before, event)
        self._chargers[key] = after
        self._by_identity[after.ocpp_identity] = key
        self._numbers.setdefault(key, len(self._numbers))
        once_there = self._ever_at[after.installation_id]
        once_there.setdefault(key, len(once_there))
        if before is not None:
            self._at[before.installation_id][before.authorisation_override].remove(key)
        self._at[after.installation_id][after.authorisation_override].add(key)

    def _open(self, installation_id: str) -> Iterator[AbstractSet[str]]:
        site = self.installation(installation_id)
        alike = (keys for keys in self._at.get(installation_id, {}).values() if keys)
        return (
            keys
            for keys in alike
            if not self._chargers[next(iter(keys))].authorisation_required(site)
        )
