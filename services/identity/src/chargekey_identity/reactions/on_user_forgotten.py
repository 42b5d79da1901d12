"""Access has let go of somebody: his erasure goes on, also where its command was lost."""

from __future__ import annotations

import asyncio
import time

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import UserForgotten
from chargekey_common.reactions import On
from chargekey_identity.application.privacy import Privacy

# Seconds that the command is given, which alone can record who asked for it.
HEAD_START = 2.0


def on_user_forgotten(privacy: Privacy) -> On:
    """Return the reaction, acting on `privacy`."""

    async def react(event: UserForgotten, reaction: Reaction) -> None:
        since = (time.time_ns() - reaction.at) / 1e9
        await asyncio.sleep(min(HEAD_START, HEAD_START - since))
        await asyncio.to_thread(privacy.react_to_user_forgotten, event.user_id, reaction)

    return On(UserForgotten, react)
