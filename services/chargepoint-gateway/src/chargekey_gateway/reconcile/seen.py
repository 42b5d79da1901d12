"""Which cards a site has seen: others' numbers are not sent to its chargers.

Whoever owns a charger can read its list. So a permission alone, which anybody may give to
anybody, puts nobody's card there.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chargekey_common.published.sessions import SessionStarted
from chargekey_gateway.reconcile.local_list import truncates
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger, Identification, Installation
from chargekey_gateway.view.view import View


class SavedSeen(msgspec.Struct, frozen=True, array_like=True):
    """All of it as plain values that a file can hold: by site, identifications and when."""

    presented: dict[str, dict[str, int]]
    shortened: dict[str, dict[str, int]]


class Seen:
    """What was presented where, from all starts that the SESSIONS stream has; memory only.

    So every replica knows the same, after a restart, too, and nothing is kept of anybody
    beside that stream, and what a file and the bus say of it, with how far it was read.
    """

    def __init__(self, view: View, running: RunningSessions) -> None:
        """Hear of starts from `running`."""
        self._view = view
        # By site and identification, as of when it last was, in nanoseconds since the epoch.
        self._presented: dict[str, dict[str, int]] = {}
        # The same of four bytes, as readers that truncate tell them: others may be tried out.
        self._shortened: dict[str, dict[str, int]] = {}
        self._listeners: list[Callable[[Installation, Identification], None]] = []
        running.on_told(self._started)

    def saved(self) -> SavedSeen:
        """Return all of it, for a snapshot."""
        return SavedSeen(self._presented, self._shortened)

    def restore(self, saved: SavedSeen) -> None:
        """Know what was saved, and nothing else; nobody is told."""
        self._presented = saved.presented
        self._shortened = saved.shortened

    def on_seen(self, listener: Callable[[Installation, Identification], None]) -> None:
        """Call `listener` with a site and what it had not seen before, or not with that code."""
        self._listeners.append(listener)

    def has(self, charger: Charger, known: Identification) -> bool:
        """Whether the charger's site knows this card, or PIN, as it is now.

        It was given there, or to one of its own people, or a session was begun with it there
        since it has had its code. Where a reader told four bytes of its number, they are all
        that is known: to chargers whose readers tell no more.
        """
        return self._knows(charger.installation, known, shortened=truncates(charger))

    def _knows(self, site: Installation, known: Identification, *, shortened: bool) -> bool:
        if known.terms.site is not None:
            return known.terms.site is site
        if known.user.local_to == site.id:
            return True
        presented_at = self._presented.get(site.id, {}).get(known.id, 0)
        if shortened:
            presented_at = max(presented_at, self._shortened.get(site.id, {}).get(known.id, 0))
        return presented_at > self._view.changes.recoded(known.id)

    def _started(self, event: SessionStarted) -> None:
        """Know that a session was begun, why ever it was allowed to."""
        identification_id = event.identification_id
        if identification_id is None:
            return
        known = self._view.identification_by_id(identification_id)
        site = self._view.installation(event.installation_id)
        shortened = event.inputs.token_shortened
        before = known is None or self._knows(site, known, shortened=shortened)
        told = self._shortened if shortened else self._presented
        presented = told.setdefault(event.installation_id, {})
        # Of one that was offline this is early enough: its code was looked up later.
        at = event.inputs.at
        presented[identification_id] = max(at, presented.get(identification_id, 0))
        if known is not None and not before and self._knows(site, known, shortened=shortened):
            for listener in self._listeners:
                listener(site, known)
