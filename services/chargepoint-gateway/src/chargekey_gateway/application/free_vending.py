"""Open chargers that want something presented all the same: started from here, for nobody.

An open charger that can vend freely begins by itself when a vehicle is plugged in. For one
that cannot, a start from here takes the place of what nobody has to present: as it is with a
code that is no one's, the session that follows is nobody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from chargekey_common.process import cancel
from chargekey_gateway.commands import ANONYMOUS, Command, RemoteStart, Result
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger

# Seconds that a charger of each OCPP version has to begin by itself.
AFTER: Mapping[str, float] = {"1.6": 5.0, "2.0.1": 10.0, "2.1": 10.0}
# A vehicle has been plugged in: OCPP 1.6, and 2.x.
PLUGGED_IN = frozenset({"Preparing", "Occupied"})
# Before it was: from anything else on, somebody has ended a session, who did not mean another.
BEFORE = frozenset({None, "Available", "Reserved", "Unavailable", "Faulted"})

log = structlog.get_logger()


class Connection(Protocol):
    """A charger's open connection."""

    @property
    def charger(self) -> Charger:
        """Whose it is."""

    @property
    def version(self) -> str:
        """The OCPP version spoken."""

    async def carry_out(self, command: Command) -> Result:
        """Have the charger do something."""


class FreeVending:
    """Starts open chargers that do not start by themselves; belongs to one event loop."""

    def __init__(self, running: RunningSessions, *, after: Mapping[str, float] = AFTER) -> None:
        """Give chargers the seconds of `after`, by their OCPP version."""
        self._running = running
        self._after = after
        self._connections: dict[str, Connection] = {}
        # By charger and connector.
        self._statuses: dict[str, dict[int, str]] = {}
        # Where a vehicle has come that nothing has begun for yet, open or not.
        self._unserved: set[tuple[str, int]] = set()
        self._timers: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        running.on_start(self._session_began)

    async def close(self) -> None:
        """Start nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await cancel(*self._tasks)

    def connected(self, connection: Connection) -> None:
        """Look after the charger over this connection."""
        self._connections[connection.charger.id] = connection

    def disconnected(self, connection: Connection) -> None:
        """Let go of it: what is plugged in meanwhile, it says once it is back."""
        charger_id = connection.charger.id
        if self._connections.get(charger_id) is not connection:
            return
        del self._connections[charger_id]
        for connector in self._statuses.pop(charger_id, {}):
            self._leave((charger_id, connector))

    def told(self, charger: Charger, connector: int, status: str) -> None:
        """Know a connector's status; one that a vehicle is plugged into may have to be started."""
        connection = self._connections.get(charger.id)
        key = charger.id, connector
        before = self._statuses.get(charger.id, {}).get(connector)
        if connection is None or connector == 0 or status == before:
            return
        self._statuses.setdefault(charger.id, {})[connector] = status
        self._leave(key)
        if status in PLUGGED_IN and before in BEFORE:
            self._unserved.add(key)
            self._wait(connection, connector)

    def charger_changed(self, charger_id: str) -> None:
        """Know that a charger's settings are different: it may be open to who waits there."""
        self._changed(lambda charger: charger.id == charger_id)

    def site_changed(self, installation_id: str) -> None:
        """Know that the settings of a site are different."""
        self._changed(lambda charger: charger.installation.id == installation_id)

    def _changed(self, concerns: Callable[[Charger], bool]) -> None:
        for charger_id, connector in self._unserved:
            connection = self._connections[charger_id]
            if concerns(connection.charger):
                self._wait(connection, connector)

    def _session_began(self, session: RunningSession) -> None:
        # OCPP 2.x stays Occupied, also once that has ended: who has ended it did not mean another.
        self._leave((session.charger_id, session.connector))

    def _wait(self, connection: Connection, connector: int) -> None:
        key = connection.charger.id, connector
        if key not in self._timers and _is_open(connection.charger):
            self._timers[key] = asyncio.get_running_loop().call_later(
                self._after[connection.version], self._due, connection, connector
            )

    def _leave(self, key: tuple[str, int]) -> None:
        self._unserved.discard(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _due(self, connection: Connection, connector: int) -> None:
        charger = connection.charger
        del self._timers[charger.id, connector]
        if not _is_open(charger):
            return  # unless it is again, while the vehicle is still there
        self._unserved.discard((charger.id, connector))
        busy = {session.connector for session in self._running.of_charger(charger.id)}
        if connector in busy:
            return
        task = asyncio.get_running_loop().create_task(_start(connection, connector))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_open(charger: Charger) -> bool:
    return not charger.authorisation_required and not charger.installation.external


async def _start(connection: Connection, connector: int) -> None:
    result = await connection.carry_out(RemoteStart(token=ANONYMOUS, connector=connector))
    log.info(
        "free_vending",
        charger=connection.charger.id,
        connector=connector,
        outcome=result.outcome.value,
    )
