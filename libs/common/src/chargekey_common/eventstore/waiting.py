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
            self._saved.clear()
            handled = await asyncio.to_thread(self._store.sqlite.handled, reaction)
            if handled is not None and handled.includes(position):
                return await asyncio.to_thread(self._store.position)
            await self._saved.wait()

    def _on_saved(self) -> None:
        self._loop.call_soon_threadsafe(self._saved.set)
