"""Open chargers that want something presented all the same: started from here, for nobody.

An open charger that can vend freely begins by itself when a vehicle is plugged in. For one
that cannot, a start from here takes the place of what nobody has to present: as it is with a
code that is no one's, the session that follows is nobody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from chargekey_gateway.commands import ANONYMOUS, Command, RemoteStart, Result
from chargekey_gateway.sessions.running import RunningSessions
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
        self._statuses: dict[tuple[str, int], str] = {}
        self._timers: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Start nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def connected(self, connection: Connection) -> None:
        """Look after the charger over this connection."""
        self._connections[connection.charger.id] = connection

    def disconnected(self, connection: Connection) -> None:
        """Let go of it: what is plugged in meanwhile, it says once it is back."""
        charger_id = connection.charger.id
        if self._connections.get(charger_id) is not connection:
            return
        del self._connections[charger_id]
        for key in [each for each in self._statuses if each[0] == charger_id]:
            del self._statuses[key]
            self._leave(key)

    def told(self, charger: Charger, connector: int, status: str) -> None:
        """Know a connector's status; one that a vehicle is plugged into may have to be started."""
        connection = self._connections.get(charger.id)
        key = charger.id, connector
        before = self._statuses.get(key)
        if connection is None or connector == 0 or status == before:
            return
        self._statuses[key] = status
        self._leave(key)
        if status in PLUGGED_IN and before in BEFORE and _is_open(charger):
            self._timers[key] = asyncio.get_running_loop().call_later(
                self._after[connection.version], self._due, connection, connector
            )

    def _leave(self, key: tuple[str, int]) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _due(self, connection: Connection, connector: int) -> None:
        charger = connection.charger
        del self._timers[charger.id, connector]
        busy = {session.connector for session in self._running.of_charger(charger.id)}
        if connector in busy or not _is_open(charger):
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
