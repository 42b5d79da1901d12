"""Reconcile: make a charger be as it should, from what is, never from what happened.

`to_stop` says what should not be running. It is asked when a charger connects, when
somebody's rights or a site's policies change, when a session begins and when a right
ends, so a gateway that was down, a charger that was offline and a start that overtook
the block all end up the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from chargekey_gateway.commands import Command, RemoteStop, Result
from chargekey_gateway.inputs import grant_here
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import NEVER, Charger, User
from chargekey_gateway.view.view import View

# Seconds between asking a charger again to stop what still runs: it may be busy, it
# may accept and take its time, its StopTransaction may be under way.
DELAYS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0)

A_SECOND = 10**9  # nanoseconds
A_DAY = 24 * 3600.0  # seconds; a clock that was set is noticed within one

log = structlog.get_logger()


class Connection(Protocol):
    """What reconciling needs of a charger's connection."""

    charger: Charger

    async def carry_out(self, command: Command) -> Result:
        """Have the charger do something."""


def to_stop(sessions: Iterable[RunningSession], view: View, at: int) -> tuple[int, ...]:
    """Return the transactions that must not go on at `at` (R12).

    Those of blocked users where the site's policy on blocks is STOP. At an open charger
    only a block of the whole platform counts: anybody else may charge there, so whoever
    is blocked at the site would just start again. And those that began with a permission
    where there is none any more, it ended or was revoked, and the policy on that is STOP.
    """
    return tuple(
        session.transaction_id
        for session in sessions
        if _is_blocked(session, view) or _right_ends(session, view) <= at
    )


def next_end(sessions: Iterable[RunningSession], view: View, at: int) -> int | None:
    """Return when the next of these must not go on because its right ends, if any does."""
    ends = (_right_ends(session, view) for session in sessions)
    return min((end for end in ends if at < end < NEVER), default=None)


def _is_blocked(session: RunningSession, view: View) -> bool:
    user = _user(session, view)
    if user is None or view.installation(session.installation_id).on_block != "STOP":
        return False
    if None in user.blocks:
        return True
    blocked = bool(user.blocks) or session.installation_id in user.blocked_at
    return session.by_permission and blocked


def _right_ends(session: RunningSession, view: View) -> int:
    """Return when a session must end for want of a permission: 0 at once, NEVER not at all."""
    user, charger = _user(session, view), view.charger(session.charger_id)
    site = view.installation(session.installation_id)
    if (
        user is None
        or charger is None
        or not session.by_permission
        or site.external  # an operator decides now, and no permission
        or site.on_revoke != "STOP"
        or not view.whole
    ):
        return NEVER
    grant = grant_here(charger, user)
    return 0 if grant is None else grant.ends


def _user(session: RunningSession, view: View) -> User | None:
    return None if session.user_id is None else view.user(session.user_id)


class Reconciler:
    """Brings the connected chargers in line; at most one task for each, only while needed."""

    def __init__(
        self,
        view: View,
        running: RunningSessions,
        *,
        clock: Callable[[], int],
        delays: Sequence[float] = DELAYS,
    ) -> None:
        """Follow `view` and `running`; ask again after each of `delays` (seconds), then give up.

        `clock` tells nanoseconds since the epoch.
        """
        self._view = view
        self._running = running
        self._clock = clock
        self._delays = delays
        self._connections: dict[str, Connection] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}  # of the chargers that have a task
        self._timers: dict[str, asyncio.TimerHandle] = {}  # by charger, for the next end
        view.on_user_change(self._user_changed)
        view.on_site_change(self._site_changed)
        view.on_mended(self._everything_changed)
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
            self._forget_timer(charger_id)
            self._changed.pop(charger_id, None)
            task = self._tasks.pop(charger_id, None)
            if task is not None:
                task.cancel()

    def reconcile(self, charger_id: str) -> None:
        """Begin to bring the charger in line, or begin again; nothing to do is nothing done."""
        if charger_id not in self._connections:
            return
        self._wait_for_the_next_end(charger_id)
        if charger_id in self._tasks:
            self._changed[charger_id].set()
        elif self._to_stop(charger_id):
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
        for charger_id in tuple(self._timers):
            self._forget_timer(charger_id)
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
                stop = RemoteStop(transaction_id=transaction_id)
                result = await self._connections[charger_id].carry_out(stop)
                log.info(
                    "remote_stop_sent",
                    charger=charger_id,
                    transaction=transaction_id,
                    outcome=result.outcome.value,
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
        return to_stop(self._running.of_charger(charger_id), self._view, self._clock())

    def _wait_for_the_next_end(self, charger_id: str) -> None:
        self._forget_timer(charger_id)
        now = self._clock()
        end = next_end(self._running.of_charger(charger_id), self._view, now)
        if end is not None:
            seconds = min((end - now) / A_SECOND, A_DAY)
            loop = asyncio.get_running_loop()
            self._timers[charger_id] = loop.call_later(seconds, self.reconcile, charger_id)

    def _forget_timer(self, charger_id: str) -> None:
        timer = self._timers.pop(charger_id, None)
        if timer is not None:
            timer.cancel()

    def _user_changed(self, user_id: str) -> None:
        for charger_id in {session.charger_id for session in self._running.of_user(user_id)}:
            self.reconcile(charger_id)

    def _site_changed(self, installation_id: str) -> None:
        for charger in self._view.chargers_at(installation_id):
            self.reconcile(charger.id)

    def _everything_changed(self) -> None:
        for charger_id in tuple(self._connections):
            self.reconcile(charger_id)

    def _session_began(self, session: RunningSession) -> None:
        self.reconcile(session.charger_id)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("reconcile_failed", exc_info=task.exception())
