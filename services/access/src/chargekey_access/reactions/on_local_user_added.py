"""A local user is there to charge: he gets USER on his installation."""

from __future__ import annotations

import asyncio

from chargekey_access.application import Access
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import LocalUserAdded
from chargekey_common.reactions import On


def on_local_user_added(access: Access) -> On:
    """Return the reaction, acting on `access`."""

    async def react(event: LocalUserAdded, reaction: Reaction) -> None:
        await asyncio.to_thread(access.react_to_local_user_added, event, reaction)

    return On(LocalUserAdded, react)
