"""A permission was given to an address: its person is invited, with or without an account (R7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import PermissionGranted
from chargekey_common.reactions import On
from chargekey_identity.application.invitations import Invitations
from chargekey_identity.domain.invitation import Given


def on_permission_granted(invitations: Invitations, stands: Callable[[str], Awaitable[bool]]) -> On:
    """Return the reaction; `stands` tells by its id whether a permission is there still.

    Without that question, somebody would be invited to what was revoked meanwhile: each
    reaction keeps its own order, and the one to the revocation may be ahead of this.
    """

    async def react(event: PermissionGranted, reaction: Reaction) -> None:
        if not event.invited or event.user_id is None or not await stands(event.permission_id):
            await asyncio.to_thread(invitations.pass_over, reaction)
            return
        given = Given(
            event.user_id,
            installation_id=event.installation_id,
            charger_id=event.charger_id,
            permission_id=event.permission_id,
        )
        await asyncio.to_thread(invitations.invite, given, reaction)

    return On(PermissionGranted, react)
