"""Access has let go of somebody: his erasure goes on, also where its command was lost."""

from __future__ import annotations

import asyncio
import contextlib
import time

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import UserForgotten
from chargekey_common.reactions import On
from chargekey_identity.application.privacy import Privacy

# Seconds that the command has at most, which alone can record who asked for it.
HEAD_START = 2.0


class _Commands:
    """Waits for what commands record; for one event at a time, as events are reacted to."""

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy
        self._saved = asyncio.Event()
        self._listening = False

    async def have_recorded(self, user_id: str) -> None:
        """Return once an erasure is recorded."""
        self._listen()
        self._saved.clear()
        while not await asyncio.to_thread(self._privacy.is_recorded, user_id):
            await self._saved.wait()
            self._saved.clear()

    def _listen(self) -> None:
        if not self._listening:
            self._listening = True
            loop = asyncio.get_running_loop()

            def on_saved(_: object) -> None:
                loop.call_soon_threadsafe(self._saved.set)

            self._privacy.store.on_saved(on_saved)


def on_user_forgotten(privacy: Privacy) -> On:
    """Return the reaction, acting on `privacy`."""
    commands = _Commands(privacy)

    async def react(event: UserForgotten, reaction: Reaction) -> None:
        since = (time.time_ns() - reaction.at) / 1e9
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(HEAD_START, HEAD_START - since)):
                await commands.have_recorded(event.user_id)
        await asyncio.to_thread(privacy.react_to_user_forgotten, event.user_id, reaction)

    return On(UserForgotten, react)
