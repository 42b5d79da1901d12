"""How far a charger is from how it should be: from the view, what runs and what it confirmed.

Nothing of it comes from what happened on the way, so every replica says the same, also of
chargers that are away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from chargekey_gateway.reconcile import cache, charger_settings
from chargekey_gateway.reconcile.confirmed import Confirmed, Record
from chargekey_gateway.reconcile.lists import Lists, Wanted
from chargekey_gateway.reconcile.stopping import to_stop
from chargekey_gateway.reconcile.turns import Turns
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import NEVER, Charger
from chargekey_gateway.view.view import View

NOBODY_KNOWS = Wanted({}, {}, 0, "", NEVER)


class Step(StrEnum):
    """What may have to be done at a charger, in its order."""

    STOP_SESSION = "stop_session"
    CLEAR_CACHE = "clear_cache"
    SETTINGS = "settings"
    LOCAL_LIST = "local_list"


class Wishes(msgspec.Struct, frozen=True):
    """How a charger should be, `confirmed` how it is, and what of that is `pending`.

    `sessions` are to stop; `taken` is as of when its cache has to be empty, in nanoseconds
    since the epoch.
    """

    confirmed: Record
    sessions: Sequence[RunningSession]
    wanted: Wanted
    taken: int
    pending: Sequence[Step]


class State(msgspec.Struct, frozen=True):
    """What people are told of a charger's convergence."""

    charger_id: str
    online: bool
    list_supported: bool | None
    list_version_wanted: int
    list_version_confirmed: int
    list_entries_wanted: int
    list_entries_confirmed: int
    pending: Sequence[Step]
    pending_since: int | None
    reboot_required: bool
    converged_at: int | None


class Convergence:
    """Compares; memory only, and nothing but `prepare` waits."""

    def __init__(
        self,
        view: View,
        running: RunningSessions,
        confirmed: Confirmed,
        lists: Lists,
        *,
        clock: Callable[[], int],
    ) -> None:
        """`clock` tells nanoseconds since the epoch."""
        self._view = view
        self._running = running
        self._confirmed = confirmed
        self._lists = lists
        self._clock = clock
        self.turns = Turns()  # of all work for chargers here

    async def prepare(self, charger: Charger) -> None:
        """Have `of` find, right after this, what it would have to work out in one go.

        Returns in a turn of its own.
        """
        await self.turns.mine()
        if self._view.whole:
            capacity = self._confirmed.of(charger.id).limits.capacity
            await self._lists.prepare(charger, capacity, self._clock(), self.turns)

    def to_stop(self, charger: Charger) -> Sequence[RunningSession]:
        """Return the sessions that must not go on there."""
        return to_stop(self._running.of_charger(charger.id), self._view, self._clock())

    def of(self, charger: Charger) -> Wishes:
        """Return how the charger should be, and what of that it is not."""
        at = self._clock()
        confirmed = self._confirmed.of(charger.id)
        sessions = to_stop(self._running.of_charger(charger.id), self._view, at)
        pending = [Step.STOP_SESSION] if sessions else []
        if not self._view.whole:  # what is not there may be on its way
            return Wishes(confirmed, sessions, NOBODY_KNOWS, 0, pending)
        wanted = self._lists.wanted(charger, confirmed.limits.capacity, at)
        taken = self._lists.taken(charger)
        if cache.is_behind(charger, confirmed.cache_cleared_as_of, taken):
            pending.append(Step.CLEAR_CACHE)
        if confirmed.settings != charger_settings.digest(confirmed.version, charger):
            pending.append(Step.SETTINGS)
        if confirmed.list_supported is not False and confirmed.list_digest != wanted.digest:
            pending.append(Step.LOCAL_LIST)
        return Wishes(confirmed, sessions, wanted, taken, pending)

    def state(self, charger: Charger, *, online: bool) -> State:
        """Return what people are told."""
        wishes = self.of(charger)
        confirmed = wishes.confirmed
        behind = Step.LOCAL_LIST in wishes.pending
        return State(
            charger_id=charger.id,
            online=online,
            list_supported=confirmed.list_supported,
            list_version_wanted=confirmed.list_version + behind,
            list_version_confirmed=confirmed.list_version,
            list_entries_wanted=wishes.wanted.belonging,
            list_entries_confirmed=confirmed.list_entries,
            pending=wishes.pending,
            pending_since=self._since(charger, confirmed) if wishes.pending else None,
            reboot_required=confirmed.reboot_required,
            converged_at=confirmed.converged_at,
        )

    def _since(self, charger: Charger, confirmed: Record) -> int:
        """Return when the first thing changed that the charger has not followed."""
        converged = confirmed.converged_at or 0
        first = self._lists.first_change(charger, converged)
        return converged if first is None else first
