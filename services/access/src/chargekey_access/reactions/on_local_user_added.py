"""A local user is there to charge: he gets USER on his installation."""

from __future__ import annotations

import asyncio

from chargekey_access.application.permissions import Permissions
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import LocalUserAdded
from chargekey_common.reactions import On


def on_local_user_added(permissions: Permissions) -> On:
    """Return the reaction, acting on `permissions`."""

    async def react(event: LocalUserAdded, reaction: Reaction) -> None:
        await asyncio.to_thread(permissions.react_to_local_user_added, event, reaction)

    return On(LocalUserAdded, react)
