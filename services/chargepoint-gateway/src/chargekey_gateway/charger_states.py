"""How chargers are right now, as far as this replica has heard it from them."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger

CHARGER_ITSELF = 0  # the connector number by which OCPP 1.6 means the whole charger
# OCPP 1.6 §4.9: in these a vehicle may be plugged in without any energy flowing. A charger
# whose start was refused says SuspendedEVSE.
WITHOUT_ENERGY = frozenset({"Preparing", "SuspendedEVSE", "SuspendedEV"})
FREE = "Available"
# Longer than chargers wait for a plug after an accepted Authorize (§9.1.4 ConnectionTimeOut).
ACCEPTANCE_LASTS = 180 * 10**9


class ConnectorState(msgspec.Struct, frozen=True):
    """A connector, in OCPP's words. `waiting` (yellow): plugged in, and nothing accepted yet."""

    connector: int
    status: str
    waiting_for_authorisation: bool


class ChargerState(msgspec.Struct, frozen=True):
    """A charger; it is `online` where it is connected here. Of `connectors` those it told of."""

    charger_id: str
    online: bool
    connectors: tuple[ConnectorState, ...]


class ChargerStates:
    """What connected chargers told last.

    Kept while a charger is gone for a moment: one that only lost its connection tells
    what has changed meanwhile and nothing else (OCPP 1.6 §4.9).
    """

    def __init__(self, running: RunningSessions) -> None:
        self._running = running
        self._statuses: dict[str, dict[int, str]] = {}
        # In OCPP 1.6 an Authorize is for whichever connector follows it with a start.
        self._accepted_at: dict[str, int] = {}

    def told(self, charger_id: str, connector: int, status: str) -> None:
        """Know a connector's status."""
        self._statuses.setdefault(charger_id, {})[connector] = status
        if status == FREE:
            self._accepted_at.pop(charger_id, None)  # whoever was accepted has gone

    def accepted(self, charger_id: str, at: int) -> None:
        """Know that something was accepted at the charger, nanoseconds since the epoch."""
        self._accepted_at[charger_id] = at

    def started(self, charger_id: str) -> None:
        """Know that a start followed what was accepted."""
        self._accepted_at.pop(charger_id, None)

    def of(self, charger: Charger, *, online: Container[str], at: int) -> ChargerState:
        """Return the charger's state at `at`; of one that is not among `online` nobody knows it."""
        if charger.id not in online:
            return ChargerState(charger.id, online=False, connectors=())
        busy = {session.connector for session in self._running.of_charger(charger.id)}
        accepted_at = self._accepted_at.get(charger.id)
        nobody_accepted = accepted_at is None or at >= accepted_at + ACCEPTANCE_LASTS
        asks = charger.authorisation_required or charger.installation.external
        connectors = tuple(
            ConnectorState(
                connector,
                status,
                waiting_for_authorisation=asks
                and nobody_accepted
                and status in WITHOUT_ENERGY
                and connector not in busy,
            )
            for connector, status in sorted(self._statuses.get(charger.id, {}).items())
            if connector != CHARGER_ITSELF
        )
        return ChargerState(charger.id, online=True, connectors=connectors)
