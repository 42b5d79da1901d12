"""Reconcile: make a charger be as it should, from what is, never from what happened.

`Convergence` says how it should be and what is still to be done. It is asked when a
charger connects or boots, when somebody's rights or a site's settings change, when a
session begins and when a right ends; so a gateway that was down, a charger that was
offline and a start that overtook the block all end up the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec
import structlog

from chargekey_common.published.chargers import (
    AuthorizationCacheCleared,
    LocalListConfirmed,
    RebootRequired,
)
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.commands import (
    ChangeSetting,
    ClearCache,
    Command,
    GetLocalListVersion,
    ListEntry,
    Outcome,
    ReadSettings,
    RemoteStop,
    Result,
    SendLocalList,
)
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.reconcile import charger_settings, local_list
from chargekey_gateway.reconcile.codes import Codes, CodesUnavailableError
from chargekey_gateway.reconcile.confirmed import Confirmed, Record
from chargekey_gateway.reconcile.convergence import Convergence, Step, Wishes
from chargekey_gateway.reconcile.lists import Lists
from chargekey_gateway.reconcile.local_list import Update, Wish
from chargekey_gateway.reconcile.stopping import next_end
from chargekey_gateway.reconcile.turns import Turns
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
# Seconds between two looks at what changed: events come in bursts, one after a pause at once.
BURST = 0.05

# Codes that are looked up in one turn.
CODES_A_TURN = 200

A_SECOND = 10**9  # nanoseconds
A_MOMENT = 0.01  # seconds; a timer that fires a little early does not fire at once again
A_DAY = 24 * 3600.0  # seconds; a clock that was set is noticed within one

# After these the charger itself has said nothing of the kind.
_UNANSWERED = frozenset({Outcome.TIMED_OUT, Outcome.DISCONNECTED, Outcome.TOO_MANY_QUEUED})

# A portion of a list that was read, and not taken.
_REFUSED = frozenset({Outcome.REJECTED, Outcome.REFUSED})

log = structlog.get_logger()

Tell = Callable[[PublishedEvent], None]


class Connection(Protocol):
    """What reconciling needs of a charger's connection."""

    charger: Charger

    @property
    def version(self) -> str:
        """The OCPP version spoken."""

    async def carry_out(self, command: Command) -> Result:
        """Have the charger do something."""


class _LaterError(Exception):
    """A step did not come to its end; it is tried again after a while."""


class _MismatchError(_LaterError):
    """The charger's list is another one than was thought: at first, that is no reason to wait."""


class _Kept:
    """A connected charger, and how far its task is. Times are those of the event loop."""

    __slots__ = (
        "asked",
        "boots",
        "changed",
        "changed_at",
        "conflicts",
        "connection",
        "failures",
        "greeted_by",
        "list_checked",
        "not_before",
        "task",
        "timer",
        "tried",
        "unsettled_since",
        "version_tried",
    )

    def __init__(self, connection: Connection, greeted_by: float) -> None:
        self.connection = connection
        self.greeted_by = greeted_by
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.changed = asyncio.Event()
        self.changed_at = 0.0
        self.unsettled_since: float | None = None
        self.not_before: dict[Step, float] = {}
        self.failures: dict[Step, int] = {}
        # Sessions asked to stop: how often, and when that may be done again.
        self.asked: dict[int, tuple[int, float]] = {}
        self.boots = 0
        self.conflicts = 0
        self.list_checked = False  # whether the charger said which list it has
        self.version_tried = 0  # the highest version that it may have got
        self.tried = False  # whether any step was

    @property
    def charger(self) -> Charger:
        return self.connection.charger


class Reconciler:
    """Brings the connected chargers in line; at most one task for each, only while needed."""

    def __init__(  # noqa: PLR0913 - what it stands between, each by its name
        self,
        view: View,
        running: RunningSessions,
        confirmed: Confirmed,
        lists: Lists,
        convergence: Convergence,
        *,
        codes: Codes,
        look_up: Lookup,
        tell: Tell,
        clock: Callable[[], int],
        delays: tuple[float, ...] = DELAYS,
        greeting: float = GREETING,
        quiet: float = QUIET,
    ) -> None:
        """Follow `view`, `running` and `confirmed`; repeat after `delays` (seconds).

        `clock` tells nanoseconds since the epoch, `tell` publishes what chargers confirmed.
        """
        self._view = view
        self._running = running
        self._confirmed = confirmed
        self._lists = lists
        self._convergence = convergence
        self._codes = codes
        self._look_up = look_up
        self._tell = tell
        self._clock = clock
        self._delays = delays
        self._greeting = greeting
        self._quiet = quiet
        self._kept: dict[str, _Kept] = {}
        self._turns = Turns()
        # Chargers and sites where something changed that has not been looked at.
        self._targets: set[str] = set()
        self._truncating: set[str] = set()  # of the chargers that are kept
        self._looked_at = -BURST
        self._look: asyncio.TimerHandle | None = None
        view.on_user_change(self._user_changed)
        view.on_site_change(self._site_changed)
        view.on_charger_change(self._charger_changed)
        view.on_mended(self._everything_changed)
        running.on_start(self._session_began)
        confirmed.on_overtaken(self._overtaken)

    def connected(self, connection: Connection) -> None:
        """Take care of this charger from now on, over this connection."""
        charger = connection.charger
        before = self._kept.get(charger.id)
        if before is not None:
            self._let_go(before)
        greeted_by = asyncio.get_running_loop().time() + self._greeting
        kept = self._kept[charger.id] = _Kept(connection, greeted_by)
        self._note_reader(kept)
        record = self._confirmed.of(charger.id)
        # In another version, settings have other names and so another digest.
        self._confirmed.put(charger.id, msgspec.structs.replace(record, version=connection.version))
        self.reconcile(charger.id)

    def disconnected(self, connection: Connection) -> None:
        """Leave the charger alone, unless a newer connection has taken its place."""
        kept = self._kept.get(connection.charger.id)
        if kept is not None and kept.connection is connection:
            del self._kept[connection.charger.id]
            self._truncating.discard(connection.charger.id)
            self._let_go(kept)

    def is_connected(self, charger_id: str) -> bool:
        """Whether the charger's connection is here."""
        return charger_id in self._kept

    def booted(self, charger: Charger) -> None:
        """Know that the charger has started anew: what it was set to counts, or is gone."""
        record = self._confirmed.of(charger.id)
        self._confirmed.put(
            charger.id, msgspec.structs.replace(record, settings="", reboot_required=False)
        )
        kept = self._kept.get(charger.id)
        if kept is not None:
            kept.greeted_by = 0.0
            kept.boots += 1
            kept.list_checked = False
            kept.asked.clear()
            kept.not_before.clear()
            kept.failures.clear()
            self.reconcile(charger.id)

    def list_in_conflict(self, charger: Charger) -> None:
        """Know that the charger cannot do with its list what it should (LocalListConflict)."""
        self._forget_list(charger.id)
        kept = self._kept.get(charger.id)
        if kept is not None:
            kept.conflicts += 1
            self.reconcile(charger.id)

    def reconcile(self, charger_id: str) -> None:
        """Begin to bring the charger in line, or begin again; nothing to do is nothing done."""
        kept = self._kept.get(charger_id)
        if kept is None:
            return
        kept.changed.set()
        if kept.task is None:
            kept.task = asyncio.create_task(self._bring_in_line(kept))
            kept.task.add_done_callback(_tell_failure)

    async def idle(self) -> None:
        """Return once every charger is in line, gone or given up for now."""
        while True:
            self._look_now()
            tasks = [kept.task for kept in self._kept.values() if kept.task is not None]
            if not tasks:
                return
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """End what is under way; the next gateway finds it by itself."""
        several = tuple(self._kept.values())
        self._kept.clear()
        if self._look is not None:
            self._look.cancel()
        tasks = [kept.task for kept in several if kept.task is not None]
        for kept in several:
            self._let_go(kept)
        await asyncio.gather(*tasks, return_exceptions=True)

    # One charger.

    def _let_go(self, kept: _Kept) -> None:
        if kept.timer is not None:
            kept.timer.cancel()
        if kept.task is not None:
            kept.task.cancel()

    async def _bring_in_line(self, kept: _Kept) -> None:
        try:
            while True:
                await self._turns.mine()
                kept.changed.clear()
                wishes = self._convergence.of(kept.charger)
                step, pause = self._next(kept, wishes)
                if step is not None:
                    await self._take(kept, step, wishes)
                elif pause is None:
                    self._settled(kept, wishes)
                    return
                else:
                    await _either(kept.changed, pause)
        finally:
            # Here and not in a callback: until then a change would be told to nobody.
            kept.task = None

    def _next(self, kept: _Kept, wishes: Wishes) -> tuple[Step | None, float | None]:
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

    def _not_before(self, kept: _Kept, step: Step, wishes: Wishes) -> float:
        if step is Step.STOP_SESSION:
            return min(_ask_again(kept, session) for session in wishes.sessions)
        at = max(kept.not_before.get(step, 0.0), kept.greeted_by)
        if step is Step.LOCAL_LIST and kept.unsettled_since is not None:
            known = wishes.confirmed.list_content
            if not self._lists.takes(wishes.wanted, known):
                longest = kept.unsettled_since + max(LONGEST_QUIET, self._quiet)
                at = max(at, min(kept.changed_at + self._quiet, longest))
        return at

    async def _take(self, kept: _Kept, step: Step, wishes: Wishes) -> None:
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
                    await self._send_list(kept)
        except (_LaterError, CodesUnavailableError) as error:
            log.info(
                "reconcile_later",
                charger=kept.charger.id,
                step=step.value,
                why=type(error).__name__,
            )
            failures = kept.failures.get(step, 0)
            kept.failures[step] = failures + 1
            if failures or not isinstance(error, _MismatchError):
                kept.not_before[step] = self._after(failures)
        else:
            if step not in self._convergence.of(kept.charger).pending:
                kept.failures.pop(step, None)
            kept.not_before.pop(step, None)

    def _after(self, failures: int) -> float:
        """Return when something that failed so often before is tried again."""
        delay = self._delays[min(failures, len(self._delays) - 1)]
        return asyncio.get_running_loop().time() + delay

    def _settled(self, kept: _Kept, wishes: Wishes) -> None:
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
            self._confirmed.put(kept.charger.id, msgspec.structs.replace(record, converged_at=now))

    def _confirm(self, kept: _Kept, **changes: object) -> Record:
        record = msgspec.structs.replace(self._confirmed.of(kept.charger.id), **changes)
        self._confirmed.put(kept.charger.id, record)
        return record

    def _forget_list(self, charger_id: str) -> None:
        record = self._confirmed.of(charger_id)
        self._confirmed.put(
            charger_id, msgspec.structs.replace(record, list_digest="", list_content=None)
        )

    def _about(self, kept: _Kept) -> dict[str, str]:
        charger = kept.charger
        return {"charger_id": charger.id, "installation_id": charger.installation.id}

    # The steps.

    async def _stop(self, kept: _Kept, sessions: Collection[RunningSession]) -> None:
        running = {session.transaction_id for session in sessions}
        kept.asked = {each: asked for each, asked in kept.asked.items() if each in running}
        now = asyncio.get_running_loop().time()
        for session in sessions:
            if _ask_again(kept, session) > now:
                continue
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

    async def _clear_cache(self, kept: _Kept, taken: int) -> None:
        result = await kept.connection.carry_out(ClearCache())
        if result.outcome in _UNANSWERED:
            raise _LaterError
        # Whatever else it said, §5.4 of OCPP 1.6 has a charger without a cache reject it.
        self._confirm(kept, cache_cleared_as_of=taken)
        if result.accepted:
            self._tell(AuthorizationCacheCleared(**self._about(kept)))

    async def _set(self, kept: _Kept) -> None:
        charger, version = kept.charger, kept.connection.version
        boots = kept.boots
        digest = charger_settings.digest(version, charger)
        wish = charger_settings.wanted(version, charger)
        read = await kept.connection.carry_out(
            ReadSettings(names=charger_settings.names(version, charger))
        )
        if read.outcome in _UNANSWERED:
            raise _LaterError
        told = dict(read.settings)
        for name, value in charger_settings.to_change(wish, told):
            result = await kept.connection.carry_out(ChangeSetting(name=name, value=value))
            if result.outcome in _UNANSWERED:
                raise _LaterError
            if result.accepted:
                told[name] = value
            else:  # it keeps its own ways until it boots, or something else is wished for
                log.info("setting_refused", charger=charger.id, setting=name)
            if result.outcome is Outcome.REBOOT_REQUIRED:
                self._confirm(kept, reboot_required=True)
                self._tell(RebootRequired(**self._about(kept), setting=name))
        if kept.boots != boots:  # it may have forgotten what it was just told
            return
        enabled = told.get(charger_settings.LIST_ENABLED[version], "true").strip().lower()
        supported = self._confirmed.of(charger.id).list_supported
        self._confirm(
            kept,
            settings=digest,
            limits=charger_settings.limits(told),
            # Where it was said to have none it is asked again: that may just have changed.
            list_supported=False if enabled != "true" else supported or None,
        )

    async def _send_list(self, kept: _Kept) -> None:
        if not kept.list_checked:
            await self._ask_for_version(kept)
            return
        wishes = self._convergence.of(kept.charger)
        if Step.LOCAL_LIST not in wishes.pending:
            return
        kept.unsettled_since = None
        entries, content = wishes.wanted.entries, wishes.confirmed.list_content
        if local_list.truncates(kept.charger):
            # A card may be ambiguous there for another's sake, which its code alone tells.
            clear = await self._read_codes(kept, entries)
            entries = {each: wish for each, wish in entries.items() if each in clear}
        readable = self._is_readable(kept.charger, content or {})
        update = local_list.update(entries, content, readable)
        codes = await self._read_codes(kept, _named(update))
        if not update.full and not _named(update) <= codes.keys():
            update = Update(full=True, put=tuple(entries.values()))
            codes = await self._read_codes(kept, _named(update))
        conflicts = kept.conflicts
        await self._send(kept, update, codes, wishes.wanted.marks, content or {})
        if kept.conflicts != conflicts:  # it complained while it was being sent
            self._forget_list(kept.charger.id)
            raise _MismatchError
        record = self._confirm(
            kept, list_digest=wishes.wanted.digest, list_wanted=wishes.wanted.belonging
        )
        self._tell(
            LocalListConfirmed(
                **self._about(kept),
                version=record.list_version,
                entries=record.list_entries,
                entries_wanted=record.list_wanted,
            )
        )

    async def _ask_for_version(self, kept: _Kept) -> None:
        result = await kept.connection.carry_out(GetLocalListVersion())
        if result.outcome in _UNANSWERED:
            raise _LaterError
        kept.list_checked = True
        there = result.version
        if there is None or there < 0:  # -1 of OCPP 1.6: it knows no lists
            self._confirm(kept, list_supported=False, list_entries=0)
            return
        record = self._confirm(kept, list_supported=True)
        kept.version_tried = max(kept.version_tried, there)
        if there == 0:
            # The empty list, whatever was confirmed before.
            if record.list_content != {} or record.list_version:
                record = self._confirm(
                    kept, list_version=0, list_content={}, list_digest="", list_entries=0
                )
            wishes = self._convergence.of(kept.charger)
            if not wishes.wanted.entries:
                self._confirm(kept, list_digest=wishes.wanted.digest, list_wanted=0)
        elif there != record.list_version:
            self._forget_list(kept.charger.id)

    async def _read_codes(self, kept: _Kept, wanted: Collection[str]) -> Mapping[str, str]:
        """Return what the charger's reader sends, by identification.

        Who would not be found by it there is left out: what a reader makes of two cards is
        neither of them, and a code that was just changed is on its way.
        """
        if not wanted:
            return {}
        found = {}
        codes = await self._codes.read(kept.charger.id, wanted)
        for number, (identification_id, code) in enumerate(codes.items()):
            if number % CODES_A_TURN == 0:
                await self._turns.mine()
            sent = local_list.as_read(kept.charger.quirks, code)
            presented = self._look_up(kept.charger, sent).identification
            if presented is not None and presented.id == identification_id:
                found[identification_id] = sent
        return found

    async def _send(
        self,
        kept: _Kept,
        update: Update,
        codes: Mapping[str, str],
        marks: dict[str, str],
        content: Mapping[str, str],
    ) -> None:
        """Send it in portions, each confirmed before the next.

        `marks` are those of the list as it shall be: whose list is that, shares them.
        """
        have = {} if update.full else dict(content)
        put = {wish.identification_id: wish for wish in update.put}
        waiting = [each for each in (*update.removed, *put) if each in codes]
        portion = self._confirmed.of(kept.charger.id).limits.portion
        full = update.full
        while waiting or full:
            some, waiting = waiting[:portion], waiting[portion:]
            removed = [each for each in some if each not in put]
            changed = [put[each] for each in some if each in put]
            message = SendLocalList(
                version=self._next_version(kept),
                full=full,
                entries=tuple(_entry(wish, codes) for wish in changed),
                removed=tuple(ListEntry(code=codes[e], type=self._type(e)) for e in removed),
            )
            await self._send_portion(kept, message, len(have) if update.full else 0)
            await self._turns.mine()
            full = False
            for each in removed:
                del have[each]
            have |= {wish.identification_id: wish.mark for wish in changed}
            self._confirm(
                kept,
                list_version=message.version,
                list_content=marks if have == marks else dict(have),
                list_entries=len(have),
            )

    def _next_version(self, kept: _Kept) -> int:
        confirmed = self._confirmed.of(kept.charger.id).list_version
        kept.version_tried = max(kept.version_tried, confirmed) + 1
        return kept.version_tried

    async def _send_portion(self, kept: _Kept, message: SendLocalList, taken: int) -> None:
        """Send a portion; `taken` entries of the same whole list the charger has already."""
        result = await kept.connection.carry_out(message)
        log.info(
            "local_list_sent",
            charger=kept.charger.id,
            version=message.version,
            full=message.full,
            entries=len(message.entries),
            removed=len(message.removed),
            outcome=result.outcome.value,
        )
        if result.accepted:
            return
        if result.outcome is Outcome.NOT_SUPPORTED:
            self._confirm(kept, list_supported=False, list_entries=0)
            raise _LaterError
        # It is asked what it has. Where it has been sent something, and did not refuse to read
        # it, nobody knows, and it gets the whole list (§5.15 of OCPP 1.6).
        kept.list_checked = False
        if result.outcome in {Outcome.DISCONNECTED, Outcome.TOO_MANY_QUEUED}:
            raise _LaterError
        self._forget_list(kept.charger.id)
        if taken and result.outcome in _REFUSED and kept.failures.get(Step.LOCAL_LIST):
            # It takes the beginning of a list every time, and not the rest: it is full. OCPP 2.x
            # has no variable that would have said so. Until it boots half a portion more is tried.
            capacity = taken + len(message.entries) // 2
            limits = self._confirmed.of(kept.charger.id).limits
            self._confirm(kept, limits=msgspec.structs.replace(limits, capacity=capacity))
        raise _LaterError if result.outcome is Outcome.TIMED_OUT else _MismatchError

    def _is_readable(self, charger: Charger, content: Mapping[str, str]) -> Callable[[str], bool]:
        """Tell of those in a list whether their codes are still the ones there."""

        def readable(identification_id: str) -> bool:
            keyed_id = self._view.keyed_id(identification_id)
            return keyed_id is not None and content[identification_id].startswith(
                local_list.key_of(keyed_id, charger.quirks)
            )

        return readable

    def _type(self, identification_id: str) -> str:
        known = self._view.identification_by_id(identification_id)
        return "" if known is None else known.type

    # What changes.

    def _user_changed(self, user_id: str) -> None:
        concerned = self._view.concerned(user_id)
        self._lists.forget_user(user_id, concerned)
        if not self._kept:  # a view is being filled, and nobody is here yet
            return
        self._targets |= concerned
        self._targets.update(each.charger_id for each in self._running.of_user(user_id))
        # Whoever's card it is, it may be like another one there.
        self._targets |= self._truncating
        self._look_soon()

    def _site_changed(self, installation_id: str) -> None:
        self._lists.forget(installation_id)
        self._targets.add(installation_id)
        self._look_soon()

    def _charger_changed(self, charger_id: str) -> None:
        self._targets.add(charger_id)
        kept = self._kept.get(charger_id)
        if kept is not None:
            self._note_reader(kept)
        self._look_soon()

    def _everything_changed(self) -> None:
        self._lists.forget_all()
        for charger_id in tuple(self._kept):
            self.reconcile(charger_id)

    def _session_began(self, session: RunningSession) -> None:
        self.reconcile(session.charger_id)

    def _overtaken(self, charger_id: str) -> None:
        kept = self._kept.get(charger_id)
        if kept is not None:
            kept.list_checked = False
            self.reconcile(charger_id)

    def _note_reader(self, kept: _Kept) -> None:
        if local_list.truncates(kept.charger):
            self._truncating.add(kept.charger.id)
        else:
            self._truncating.discard(kept.charger.id)

    def _look_soon(self) -> None:
        """Look at what has changed: at once, or after the rest of a burst."""
        if not self._kept:
            self._targets.clear()
            return
        if self._look is not None:
            return
        loop = asyncio.get_running_loop()
        pause = self._looked_at + BURST - loop.time()
        if pause <= 0:
            self._look_now()
        else:
            self._look = loop.call_later(pause, self._look_now)

    def _look_now(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if not self._targets:
            return
        now = self._looked_at = asyncio.get_running_loop().time()
        targets, self._targets = self._targets, set()
        several = [
            kept
            # A charger, or all that stand at an installation.
            for target in targets
            for charger_id in (target, *(each.id for each in self._view.chargers_at(target)))
            if (kept := self._kept.get(charger_id)) is not None
        ]
        # First where somebody charges, who may have to stop.
        several.sort(key=lambda kept: not self._running.of_charger(kept.charger.id))
        for kept in several:
            kept.changed_at = now
            if kept.unsettled_since is None:
                kept.unsettled_since = now
            self.reconcile(kept.charger.id)


def _entry(wish: Wish, codes: Mapping[str, str]) -> ListEntry:
    return ListEntry(
        code=codes[wish.identification_id],
        type=wish.type,
        status=wish.status,
        expires=wish.expires,
        group=wish.group,
    )


def _named(update: Update) -> AbstractSet[str]:
    """Return whose codes it takes to send an update."""
    return {*update.removed, *(wish.identification_id for wish in update.put)}


def _ask_again(kept: _Kept, session: RunningSession) -> float:
    """Return from when on a session may be asked to stop, in the time of the event loop."""
    _, again = kept.asked.get(session.transaction_id, (0, 0.0))
    return again


async def _either(changed: asyncio.Event, pause: float) -> None:
    """Return when something has changed, or after `pause` seconds."""
    try:
        async with asyncio.timeout(pause):
            await changed.wait()
    except TimeoutError:
        pass


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("reconcile_failed", exc_info=task.exception())
