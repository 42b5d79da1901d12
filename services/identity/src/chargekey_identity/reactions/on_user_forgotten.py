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


def on_user_forgotten(privacy: Privacy) -> On:
    """Return the reaction, acting on `privacy`, for the running loop."""
    loop, saved = asyncio.get_running_loop(), asyncio.Event()

    def on_saved() -> None:
        loop.call_soon_threadsafe(saved.set)

    privacy.store.on_saved(on_saved)

    async def recorded(user_id: str) -> None:
        """Wait for the command; for one event at a time, as events are reacted to."""
        saved.clear()
        while not await asyncio.to_thread(privacy.is_recorded, user_id):
            await saved.wait()
            saved.clear()

    async def react(event: UserForgotten, reaction: Reaction) -> None:
        since = (time.time_ns() - reaction.at) / 1e9
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(HEAD_START, HEAD_START - since)):
                await recorded(event.user_id)
        await asyncio.to_thread(privacy.react_to_user_forgotten, event.user_id, reaction)

    return On(UserForgotten, react)
