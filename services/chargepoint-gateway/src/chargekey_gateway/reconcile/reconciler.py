"""Reconcile: make a charger be as it should, from what is, never from what happened.

`Convergence` says how it should be and what is still to be done. It is asked when a
charger connects or boots, when somebody's rights or a site's settings change, when a
session begins and when a right ends; so a gateway that was down, a charger that was
offline and a start that overtook the block all end up the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import structlog

from chargekey_common.process import set_within
from chargekey_common.published.chargers import AuthorizationCacheCleared, RebootRequired
from chargekey_gateway.commands import ChangeSetting, ClearCache, Outcome, ReadSettings, RemoteStop
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.reconcile import cache, charger_settings
from chargekey_gateway.reconcile.changes import Changes
from chargekey_gateway.reconcile.codes import Codes, CodesUnavailableError
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.reconcile.convergence import Convergence, Step, Wishes
from chargekey_gateway.reconcile.kept import (
    UNANSWERED,
    Connection,
    Kept,
    LaterError,
    MismatchError,
    Tell,
)
from chargekey_gateway.reconcile.list_sending import LOSSES, ListSending
from chargekey_gateway.reconcile.lists import Lists
from chargekey_gateway.reconcile.newcomers import Newcomers
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.reconcile.stopping import next_end
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

# Seconds before a step is tried again: the charger may be busy, it may accept and take its
# time, its StopTransaction may be under way, identity may start again. Sessions are asked to
# stop once for each; everything else is repeated after the last of them for as long as it takes.
DELAYS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0)
# Seconds that a charger which has just connected has to say that it has booted: until that
# is answered it may take no calls.
GREETING = 2.0
# Seconds without another change before a list that takes nothing from anybody is sent, and
# how long it waits for that at most: five hundred people are imported in few lists.
QUIET = 0.25
LONGEST_QUIET = 2.0

A_SECOND = 10**9  # nanoseconds
A_MOMENT = 0.01  # seconds; a timer that fires a little early does not fire at once again
A_DAY = 24 * 3600.0  # seconds; a clock that was set is noticed within one

log = structlog.get_logger()


class Reconciler:
    """Brings the connected chargers in line; at most one task for each, only while needed."""

    def __init__(  # noqa: PLR0913 - what it stands between, each by its name
        self,
        view: View,
        running: RunningSessions,
        confirmed: Confirmed,
        lists: Lists,
        seen: Seen,
        convergence: Convergence,
        *,
        codes: Codes,
        look_up: Lookup,
        tell: Tell,
        clock: Callable[[], int],
        delays: tuple[float, ...] = DELAYS,
        greeting: float = GREETING,
        quiet: float = QUIET,
        losses: tuple[float, ...] = LOSSES,
    ) -> None:
        """Follow `view`, `running`, `seen` and `confirmed`; repeat after `delays` (seconds).

        Lists that were lost are sent again after `losses`.

        `clock` tells nanoseconds since the epoch, `tell` publishes what chargers confirmed.
        """
        self._view = view
        self._running = running
        self._confirmed = confirmed
        self._lists = lists
        self._convergence = convergence
        self._tell = tell
        self._clock = clock
        self._delays = delays
        self._greeting = greeting
        self._quiet = quiet
        self._kept: dict[str, Kept] = {}
        self._turns = convergence.turns
        self._changes = Changes(view, running, lists, seen, self._kept, self.reconcile)
        self._newcomers = Newcomers(self.reconcile)
        self._list_sending = ListSending(
            view,
            confirmed,
            convergence,
            self._turns,
            codes=codes,
            look_up=look_up,
            tell=tell,
            losses=losses,
        )
        running.on_start(self._session_began)
        confirmed.on_overtaken(self._overtaken)

    def connected(self, connection: Connection) -> None:
        """Take care of this charger from now on, over this connection."""
        charger = connection.charger
        before = self._kept.get(charger.id)
        if before is not None:
            self._let_go(before)
        greeted_by = asyncio.get_running_loop().time() + self._greeting
        self._kept[charger.id] = Kept(connection, greeted_by)
        self._changes.note_reader(charger)
        # In another version, settings have other names and so another digest.
        self._confirmed.change(charger.id, version=connection.version)
        if self._running.of_charger(charger.id):
            self.reconcile(charger.id)  # somebody may have to stop
        else:
            self._newcomers.came(charger.id)

    def disconnected(self, connection: Connection) -> None:
        """Leave the charger alone, unless a newer connection has taken its place."""
        kept = self._kept.get(connection.charger.id)
        if kept is not None and kept.connection is connection:
            del self._kept[connection.charger.id]
            self._newcomers.left(connection.charger.id)
            self._changes.forget_reader(connection.charger.id)
            self._let_go(kept)

    def is_connected(self, charger_id: str) -> bool:
        """Whether the charger's connection is here."""
        return charger_id in self._kept

    def booted(self, charger: Charger) -> None:
        """Know that the charger has started anew: what it was set to counts, or is gone."""
        self._confirmed.change(charger.id, settings="", reboot_required=False, master_pass="")
        kept = self._kept.get(charger.id)
        if kept is not None:
            kept.greeted_by = 0.0
            kept.boots += 1
            kept.list_checked = False
            kept.asked.clear()
            kept.not_before.clear()
            kept.failures.clear()
            if charger.id not in self._newcomers:
                self.reconcile(charger.id)

    def list_in_conflict(self, charger: Charger) -> None:
        """Know that the charger cannot do with its list what it should (LocalListConflict)."""
        self._list_sending.lost(charger.id)
        kept = self._kept.get(charger.id)
        if kept is not None:
            kept.conflicts += 1
            self.reconcile(charger.id)

    def reconcile(self, charger_id: str) -> None:
        """Begin to bring the charger in line, or begin again; nothing to do is nothing done."""
        kept = self._kept.get(charger_id)
        if kept is None:
            return
        if kept.changed is not None:
            kept.changed.set()
            return
        kept.changed = asyncio.Event()
        kept.task = asyncio.create_task(self._bring_in_line(kept, kept.changed))
        kept.task.add_done_callback(_tell_failure)

    async def idle(self) -> None:
        """Return once every charger is in line, gone or given up for now."""
        while True:
            self._changes.look_now()
            self._newcomers.all_now()
            tasks = [kept.task for kept in self._kept.values() if kept.task is not None]
            if not tasks:
                return
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """End what is under way; the next gateway finds it by itself."""
        several = tuple(self._kept.values())
        self._kept.clear()
        self._changes.close()
        self._newcomers.close()
        tasks = [kept.task for kept in several if kept.task is not None]
        for kept in several:
            self._let_go(kept)
        await asyncio.gather(*tasks, return_exceptions=True)

    # One charger.

    def _let_go(self, kept: Kept) -> None:
        if kept.timer is not None:
            kept.timer.cancel()
        if kept.task is not None:
            kept.task.cancel()

    async def _bring_in_line(self, kept: Kept, changed: asyncio.Event) -> None:
        try:
            while True:
                await self._turns.mine()
                # Who must stop waits for no list.
                if await self._stop(kept, self._convergence.to_stop(kept.charger)):
                    continue
                await self._convergence.prepare(kept.charger)
                changed.clear()
                wishes = self._convergence.of(kept.charger)
                step, pause = self._next(kept, wishes)
                if step is not None:
                    await self._take(kept, step, wishes)
                elif pause is None:
                    self._settled(kept, wishes)
                    return
                else:
                    await set_within(changed, pause)
        finally:
            # Here and not in a callback: until then a change would be told to nobody.
            kept.task = kept.changed = None

    def _next(self, kept: Kept, wishes: Wishes) -> tuple[Step | None, float | None]:
        """Return what to do now, else after how many seconds to look again, None for not."""
        now = asyncio.get_running_loop().time()
        pause = None
        pending = list(wishes.pending)
        unchecked = not kept.list_checked and wishes.confirmed.list_supported is not False
        if self._view.whole and Step.LOCAL_LIST not in pending and unchecked:
            pending.append(Step.LOCAL_LIST)
        for step in pending:
            at = self._not_before(kept, step, wishes)
            if at <= now:
                return step, None
            pause = at - now if pause is None else min(pause, at - now)
        return None, None if pause is None or pause == float("inf") else pause

    def _not_before(self, kept: Kept, step: Step, wishes: Wishes) -> float:
        if step is Step.STOP_SESSION:
            return min(_ask_again(kept, session) for session in wishes.sessions)
        at = max(kept.not_before.get(step, 0.0), kept.greeted_by)
        if step is Step.LOCAL_LIST and kept.list_checked:
            at = max(at, self._list_sending.not_before(kept.charger.id))
        if step is Step.LOCAL_LIST and kept.unsettled_since is not None:
            known = wishes.confirmed.list_content
            if not self._lists.takes(wishes.wanted, known):
                longest = kept.unsettled_since + max(LONGEST_QUIET, self._quiet)
                at = max(at, min(kept.changed_at + self._quiet, longest))
        return at

    async def _take(self, kept: Kept, step: Step, wishes: Wishes) -> None:
        kept.tried = True
        try:
            match step:
                case Step.STOP_SESSION:
                    await self._stop(kept, wishes.sessions)
                case Step.CLEAR_CACHE:
                    await self._clear_cache(kept, wishes.taken)
                case Step.SETTINGS:
                    await self._set(kept)
                case Step.LOCAL_LIST:
                    await self._list_sending.send(kept)
        except (LaterError, CodesUnavailableError) as error:
            log.info(
                "reconcile_later",
                charger=kept.charger.id,
                step=step.value,
                why=type(error).__name__,
            )
            failures = kept.failures.get(step, 0)
            kept.failures[step] = failures + 1
            if failures or not isinstance(error, MismatchError):
                kept.not_before[step] = self._after(failures)
        else:
            await self._convergence.prepare(kept.charger)
            if step not in self._convergence.of(kept.charger).pending:
                kept.failures.pop(step, None)
            kept.not_before.pop(step, None)

    def _after(self, failures: int) -> float:
        """Return when something that failed so often before is tried again."""
        delay = self._delays[min(failures, len(self._delays) - 1)]
        return asyncio.get_running_loop().time() + delay

    def _settled(self, kept: Kept, wishes: Wishes) -> None:
        """Look again when the next right ends; all is as it should be, or given up."""
        kept.unsettled_since = None
        if kept.timer is not None:
            kept.timer.cancel()
            kept.timer = None
        now = self._clock()
        sessions = self._running.of_charger(kept.charger.id)
        ends = next_end(sessions, self._view, now)
        end = wishes.wanted.ends if ends is None else min(ends, wishes.wanted.ends)
        seconds = min(max((end - now) / A_SECOND, A_MOMENT), A_DAY)
        kept.timer = asyncio.get_running_loop().call_later(seconds, self.reconcile, kept.charger.id)
        record = wishes.confirmed
        if self._view.whole and not wishes.pending and (kept.tried or not record.converged_at):
            kept.tried = False
            self._confirmed.change(kept.charger.id, converged_at=now)

    def _session_began(self, session: RunningSession) -> None:
        self.reconcile(session.charger_id)

    def _overtaken(self, charger_id: str) -> None:
        kept = self._kept.get(charger_id)
        if kept is not None:
            kept.list_checked = False
            self.reconcile(charger_id)

    # The steps.

    async def _stop(self, kept: Kept, sessions: Collection[RunningSession]) -> bool:
        """Ask those to stop that may be asked now; return whether there are any."""
        running = {session.transaction_id for session in sessions}
        kept.asked = {each: asked for each, asked in kept.asked.items() if each in running}
        now = asyncio.get_running_loop().time()
        due = [session for session in sessions if _ask_again(kept, session) <= now]
        for session in due:
            kept.tried = True
            stop = RemoteStop(
                transaction_id=session.transaction_id,
                ocpp_transaction_id=session.ocpp_transaction_id,
            )
            result = await kept.connection.carry_out(stop)
            log.info(
                "remote_stop_sent",
                charger=kept.charger.id,
                transaction=session.transaction_id,
                outcome=result.outcome.value,
            )
            # What ends it is its StopTransaction, which may take a while, or not come.
            times, _ = kept.asked.get(session.transaction_id, (0, 0.0))
            again = self._after(times)
            if times + 1 >= len(self._delays):
                log.warning("charger_does_not_stop", charger=kept.charger.id)
                again = float("inf")
            kept.asked[session.transaction_id] = times + 1, again
        return bool(due)

    async def _clear_cache(self, kept: Kept, taken: int) -> None:
        result = await kept.connection.carry_out(ClearCache())
        if not cache.is_empty(result):
            raise LaterError
        self._confirmed.change(kept.charger.id, cache_cleared_as_of=taken)
        if result.accepted:
            self._tell(AuthorizationCacheCleared(**kept.about))

    async def _set(self, kept: Kept) -> None:
        charger, version = kept.charger, kept.connection.version
        boots = kept.boots
        digest = charger_settings.digest(version, charger)
        wish = charger_settings.wanted(version, charger)
        read = await kept.connection.carry_out(
            ReadSettings(names=charger_settings.names(version, charger), ours=True)
        )
        if read.outcome in UNANSWERED:
            raise LaterError
        told = dict(read.settings)
        changes = charger_settings.to_change(wish, told)
        if changes:  # an answer may be lost, and a wish for what was before be back meanwhile
            self._confirmed.change(charger.id, settings="", master_pass="")
        postponed = set()  # until it boots
        for name, value in changes:
            change = ChangeSetting(name=name, value=value, ours=True)
            result = await kept.connection.carry_out(change)
            if result.outcome in UNANSWERED:
                raise LaterError
            if result.accepted:
                told[name] = value
            else:  # it keeps its own ways until it boots, or something else is wished for
                log.info("setting_refused", charger=charger.id, setting=name)
            if result.outcome is Outcome.REBOOT_REQUIRED:
                postponed.add(name)
                self._confirmed.change(kept.charger.id, reboot_required=True)
                self._tell(RebootRequired(**kept.about, setting=name))
        if kept.boots != boots:  # it may have forgotten what it was just told
            return
        enabled = told.get(charger_settings.LIST_ENABLED[version], "true").strip().lower()
        supported = self._confirmed.of(charger.id).list_supported
        stopping = charger_settings.STOPPING_GROUP
        group = wish.get(stopping, "")
        held = stopping not in postponed and told.get(stopping) == group
        self._confirmed.change(
            kept.charger.id,
            settings=digest,
            limits=charger_settings.limits(told),
            master_pass=group if held else "",
            # Where it was said to have none it is asked again: that may just have changed.
            list_supported=False if enabled != "true" else supported or None,
        )


def _ask_again(kept: Kept, session: RunningSession) -> float:
    """Return from when on a session may be asked to stop, in the time of the event loop."""
    _, again = kept.asked.get(session.transaction_id, (0, 0.0))
    return again


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("reconcile_failed", exc_info=task.exception())
