"""A permission is gone: so is the invitation to it."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import PermissionRevoked
from chargekey_common.reactions import On
from chargekey_identity.application.invitations import Invitations


def on_permission_revoked(invitations: Invitations) -> On:
    """Return the reaction."""

    async def react(event: PermissionRevoked, reaction: Reaction) -> None:
        if event.user_id is None:
            await asyncio.to_thread(invitations.pass_over, reaction)
            return
        await asyncio.to_thread(
            invitations.take_back,
            event.user_id,
            lambda given: given.permission_id == event.permission_id,
            reaction,
        )

    return On(PermissionRevoked, react)
