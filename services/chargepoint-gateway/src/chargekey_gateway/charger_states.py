"""How chargers are right now, as far as this replica has heard it from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence

import msgspec

from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger

CHARGER_ITSELF = 0  # the connector number by which OCPP 1.6 means the whole charger
# OCPP 1.6 §4.9: in these a vehicle may be plugged in without any energy flowing. A charger
# whose start was refused says SuspendedEVSE.
WITHOUT_ENERGY = frozenset({"Preparing", "SuspendedEVSE", "SuspendedEV"})
# More than any charger has; its numbers are its own, and each that it tells of is kept.
MOST_CONNECTORS = 256
FREE = "Available"
# OCPP 2.x: there is a vehicle, and no more is said.
OCCUPIED = "Occupied"
# How an EVSE of OCPP 2.x is, of what its plugs say: the first of these that any of them does.
# One vehicle charges at it at a time, so it is free only where all of them are.
OF_AN_EVSE = (OCCUPIED, "Reserved", "Faulted", "Unavailable", FREE)
ITS_ONLY_PLUG = 0
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
    """What connected chargers told last, and who is waited for because of it.

    Listeners hear when somebody may be waited for who was not, or no longer. Kept while a
    charger is gone for a moment: one that only lost its connection tells what has changed
    meanwhile and nothing else (OCPP 1.6 §4.9).
    """

    def __init__(
        self, running: RunningSessions, chargers_at: Callable[[str], Collection[Charger]]
    ) -> None:
        """Follow `running`; `chargers_at` tells which chargers stand at an installation."""
        self._running = running
        self._chargers_at = chargers_at
        self._chargers: dict[str, Charger] = {}  # that have told a status
        self._statuses: dict[str, dict[int, str]] = {}
        # In OCPP 2.x a connector here is an EVSE: by its number and that of the plug.
        self._plugs: dict[str, dict[tuple[int, int], str]] = {}
        self._waiting: dict[str, frozenset[int]] = {}  # as it was told last
        # Where a vehicle stands that has charged: it is not waited for until it has gone.
        self._served: dict[str, set[int]] = {}
        self._listeners: list[Callable[[Charger], None]] = []
        # In OCPP 1.6 an Authorize is for whichever connector follows it with a start.
        self._accepted_at: dict[str, int] = {}
        running.on_start(self._session_began)
        running.on_end(self._session_ended)

    def on_change(self, listener: Callable[[Charger], None]) -> None:
        """Call `listener` with a charger whose `news` may be some."""
        self._listeners.append(listener)

    def may_have(self, charger: Charger, connector: int, plug: int = ITS_ONLY_PLUG) -> bool:
        """Whether it is believed that the charger has this beside those it told of."""
        known = self._plugs.get(charger.id, {})
        return (connector, plug) in known or len(known) < MOST_CONNECTORS

    def of_plugs(self, charger: Charger, connector: int, plug: int, status: str) -> str:
        """Know a plug's status, and return the one of what it belongs to.

        What is said of an EVSE as a whole counts instead of what its plugs said, and the
        other way round.
        """
        plugs = self._plugs.setdefault(charger.id, {})
        if plug == ITS_ONLY_PLUG:
            for other in [each for each in plugs if each[0] == connector]:
                del plugs[other]
        else:
            plugs.pop((connector, ITS_ONLY_PLUG), None)
        plugs[connector, plug] = status
        if plug == ITS_ONLY_PLUG:
            return status
        said = {plugs[each] for each in plugs if each[0] == connector}
        return next(each for each in OF_AN_EVSE if each in said)

    def told(self, charger: Charger, connector: int, status: str) -> None:
        """Know a connector's status."""
        self._chargers[charger.id] = charger
        self._statuses.setdefault(charger.id, {})[connector] = status
        if status == FREE:
            self._accepted_at.pop(charger.id, None)  # whoever was accepted has gone
            self._served.get(charger.id, set()).discard(connector)
        self.charger_changed(charger.id)

    def accepted(self, charger_id: str, at: int) -> None:
        """Know that something was accepted at the charger, nanoseconds since the epoch."""
        self._accepted_at[charger_id] = at
        if charger_id in self._waiting:
            self.charger_changed(charger_id)

    def started(self, charger_id: str) -> None:
        """Know that a start followed what was accepted."""
        if self._accepted_at.pop(charger_id, None) is not None:
            self.charger_changed(charger_id)

    def charger_changed(self, charger_id: str) -> None:
        """Know that something about the charger is different: its settings, its connection."""
        charger = self._chargers.get(charger_id)
        if charger is not None:
            for listener in self._listeners:
                listener(charger)

    def site_changed(self, installation_id: str) -> None:
        """Know that the settings of a site are different."""
        for charger in self._chargers_at(installation_id):
            self.charger_changed(charger.id)

    def news(
        self, charger: Charger, *, online: Container[str], at: int
    ) -> Sequence[tuple[int, bool]]:
        """Return where waiting began or ended since this was asked last: connector, waiting.

        At a charger that is not among `online` nobody is known to be waited for.
        """
        connectors = self.of(charger, online=online, at=at).connectors
        waiting = frozenset(each.connector for each in connectors if each.waiting_for_authorisation)
        before = self._waiting.pop(charger.id, frozenset())
        if waiting:
            self._waiting[charger.id] = waiting
        return [(connector, connector in waiting) for connector in sorted(waiting ^ before)]

    def acceptance_ends(self, charger_id: str) -> int | None:
        """Return when what was accepted no longer counts; None where nothing waits for that."""
        accepted_at = self._accepted_at.get(charger_id)
        return None if accepted_at is None else accepted_at + ACCEPTANCE_LASTS

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
                and self._without_energy(charger.id, connector, status)
                and connector not in busy,
            )
            for connector, status in sorted(self._statuses.get(charger.id, {}).items())
            if connector != CHARGER_ITSELF
        )
        return ChargerState(charger.id, online=True, connectors=connectors)

    def _without_energy(self, charger_id: str, connector: int, status: str) -> bool:
        if status == OCCUPIED:
            return connector not in self._served.get(charger_id, ())
        return status in WITHOUT_ENERGY

    def _session_began(self, session: RunningSession) -> None:
        self.charger_changed(session.charger_id)

    def _session_ended(self, session: RunningSession) -> None:
        if session.charger_id in self._chargers:
            self._served.setdefault(session.charger_id, set()).add(session.connector)
        self.charger_changed(session.charger_id)
