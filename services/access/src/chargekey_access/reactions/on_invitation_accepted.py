"""Whoever accepts an invitation is somebody: as an owner, he counts from then on."""

from __future__ import annotations

import asyncio

from chargekey_access.application.owners import Owners
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import InvitationAccepted
from chargekey_common.reactions import On


def on_invitation_accepted(owners: Owners) -> On:
    """Return the reaction, acting on `owners`."""

    async def react(event: InvitationAccepted, reaction: Reaction) -> None:
        await asyncio.to_thread(owners.react_to_invitation_accepted, event, reaction)

    return On(InvitationAccepted, react)
