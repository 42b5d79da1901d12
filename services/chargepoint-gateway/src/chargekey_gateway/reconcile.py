"""Reconcile: make a charger be as it should, from what is, never from what happened.

`to_stop` says what should not be running. It is asked when a charger connects, when
a block changes and when a session begins, so a gateway that was down, a charger that
was offline and a start that overtook the block all end up the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger, User
from chargekey_gateway.view.view import View

# Seconds between asking a charger again to stop what still runs: it may be busy, it
# may accept and take its time, its StopTransaction may be under way.
DELAYS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0)

log = structlog.get_logger()


class Connection(Protocol):
    """What reconciling needs of a charger's connection."""

    charger: Charger

    async def remote_stop(self, transaction_id: int) -> bool:
        """Ask the charger to end a transaction; whether it will."""


def to_stop(
    sessions: Iterable[RunningSession], user: Callable[[str], User | None]
) -> tuple[int, ...]:
    """Return the transactions that must not go on: those of blocked users (R12, policy STOP).

    At an open charger only a block of the whole platform counts: anybody else may
    charge there, so whoever is blocked at the site would just start again.
    """
    return tuple(session.transaction_id for session in sessions if _is_blocked(session, user))


def _is_blocked(session: RunningSession, user: Callable[[str], User | None]) -> bool:
    known = None if session.user_id is None else user(session.user_id)
    if known is None:
        return False
    return bool(known.blocks) if session.holds_lock else None in known.blocks


class Reconciler:
    """Brings the connected chargers in line; at most one task for each, only while needed."""

    def __init__(
        self, view: View, running: RunningSessions, *, delays: Sequence[float] = DELAYS
    ) -> None:
        """Follow `view` and `running`; ask again after each of `delays` (seconds), then give up."""
        self._view = view
        self._running = running
        self._delays = delays
        self._connections: dict[str, Connection] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}  # of the chargers that have a task
        view.on_block(self._user_changed)
        running.on_start(self._session_began)

    def connected(self, connection: Connection) -> None:
        """Take care of this charger from now on, over this connection."""
        self._connections[connection.charger.id] = connection
        self.reconcile(connection.charger.id)

    def disconnected(self, connection: Connection) -> None:
        """Leave the charger alone, unless a newer connection has taken its place."""
        charger_id = connection.charger.id
        if self._connections.get(charger_id) is connection:
            del self._connections[charger_id]
            self._changed.pop(charger_id, None)
            task = self._tasks.pop(charger_id, None)
            if task is not None:
                task.cancel()

    def reconcile(self, charger_id: str) -> None:
        """Begin to bring the charger in line, or begin again; nothing to do is nothing done."""
        if charger_id in self._tasks:
            self._changed[charger_id].set()
        elif charger_id in self._connections and self._to_stop(charger_id):
            changed = self._changed[charger_id] = asyncio.Event()
            task = asyncio.create_task(self._bring_in_line(charger_id, changed))
            self._tasks[charger_id] = task
            task.add_done_callback(_tell_failure)

    async def idle(self) -> None:
        """Return once every charger is in line, gone or given up for now."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        """End what is under way; the next gateway finds it by itself."""
        self._connections.clear()
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring_in_line(self, charger_id: str, changed: asyncio.Event) -> None:
        try:
            await self._insist(charger_id, changed)
        finally:
            # Here and not in a callback: until then a change would be told to nobody.
            if self._changed.get(charger_id) is changed:
                del self._changed[charger_id]
                del self._tasks[charger_id]

    async def _insist(self, charger_id: str, changed: asyncio.Event) -> None:
        attempts = 0
        while attempts < len(self._delays):
            changed.clear()
            for transaction_id in self._to_stop(charger_id):
                accepted = await self._connections[charger_id].remote_stop(transaction_id)
                log.info(
                    "remote_stop_sent",
                    charger=charger_id,
                    transaction=transaction_id,
                    accepted=accepted,
                )
            try:
                async with asyncio.timeout(self._delays[attempts]):
                    await changed.wait()
                attempts = 0
            except TimeoutError:
                attempts += 1
            if not self._to_stop(charger_id):
                return
        log.warning("charger_does_not_stop", charger=charger_id)

    def _to_stop(self, charger_id: str) -> tuple[int, ...]:
        return to_stop(self._running.of_charger(charger_id), self._view.user)

    def _user_changed(self, user_id: str) -> None:
        for charger_id in {session.charger_id for session in self._running.of_user(user_id)}:
            self.reconcile(charger_id)

    def _session_began(self, session: RunningSession) -> None:
        self.reconcile(session.charger_id)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("reconcile_failed", exc_info=task.exception())
