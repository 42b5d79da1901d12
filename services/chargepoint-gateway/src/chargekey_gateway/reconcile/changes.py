"""Noticing what changes, and which of the connected chargers that concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from chargekey_gateway.reconcile import local_list
from chargekey_gateway.reconcile.kept import Kept
from chargekey_gateway.reconcile.lists import Lists
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger, Identification, Installation
from chargekey_gateway.view.view import View

# Seconds between two looks at what changed: events come in bursts, one after a pause at once.
BURST = 0.05


class Changes:
    """Follows the view, and has those reconciled that a change may concern."""

    def __init__(
        self,
        view: View,
        running: RunningSessions,
        lists: Lists,
        seen: Seen,
        kept: Mapping[str, Kept],
        reconcile: Callable[[str], None],
    ) -> None:
        """Call `reconcile` with each charger of `kept`, those that are connected now."""
        self._view = view
        self._running = running
        self._lists = lists
        self._kept = kept
        self._reconcile = reconcile
        # Chargers and sites where something changed that has not been looked at.
        self._targets: set[str] = set()
        self._truncating: set[str] = set()  # of the chargers that are kept
        self._looked_at = -BURST
        self._look: asyncio.TimerHandle | None = None
        view.on_user_change(self._user_changed)
        view.on_site_change(self._site_changed)
        view.on_charger_change(self._charger_changed)
        view.on_mended(self._everything_changed)
        seen.on_seen(self._card_seen)

    def note_reader(self, charger: Charger) -> None:
        """Know what a connected charger's reader makes of codes."""
        if local_list.truncates(charger):
            self._truncating.add(charger.id)
        else:
            self._truncating.discard(charger.id)

    def forget_reader(self, charger_id: str) -> None:
        """Forget what is known of the reader of a charger that has gone."""
        self._truncating.discard(charger_id)

    def look_now(self) -> None:
        """Look at what has changed, without waiting for the rest of a burst."""
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
            self._reconcile(kept.charger.id)

    def close(self) -> None:
        """Look at nothing any more."""
        if self._look is not None:
            self._look.cancel()

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

    def _card_seen(self, site: Installation, known: Identification) -> None:
        """Have a card that charged at a site for the first time put where it belongs there."""
        standing = {site.id, *(each.id for each in self._view.chargers_at(site.id))}
        concerned = standing & self._view.concerned(known.user.id)
        if known.type in local_list.CARDS and concerned:
            self._lists.forget_user(known.user.id, concerned)
            self._targets |= concerned
            self._look_soon()

    def _site_changed(self, installation_id: str) -> None:
        self._lists.forget(installation_id)
        self._targets.add(installation_id)
        self._look_soon()

    def _charger_changed(self, charger_id: str) -> None:
        self._lists.forget_charger()
        self._targets.add(charger_id)
        kept = self._kept.get(charger_id)
        if kept is not None:
            self.note_reader(kept.charger)
        self._look_soon()

    def _everything_changed(self) -> None:
        self._lists.forget_all()
        for charger_id in tuple(self._kept):
            self._reconcile(charger_id)

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
            self.look_now()
        else:
            self._look = loop.call_later(pause, self.look_now)
