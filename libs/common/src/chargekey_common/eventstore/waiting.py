"""Waiting for a reaction to have handled an event."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import EventStore
from chargekey_common.positions import Position


class HandledPositions:
    """Lets callers of the running loop wait for what reactions save on their threads."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._saved = asyncio.Event()
        store.on_saved(self._on_saved)

    async def wait_for(self, reaction: str, position: Position) -> Position:
        """Return this store's position once `reaction` has handled `position`.

        Waits without end: the caller's deadline bounds it.
        """
        while True:
            saved = self._saved  # taken before looking: the next save of all sets this one
            handled = await asyncio.to_thread(self._store.handled, reaction)
            if handled is not None and handled.includes(position):
                return await asyncio.to_thread(self._store.position)
            await saved.wait()

    def _on_saved(self, _: object) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        """Wake those who wait; who begins to wait from now on waits for the next save."""
        self._saved.set()
        self._saved = asyncio.Event()
