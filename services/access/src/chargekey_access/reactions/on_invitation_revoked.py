"""An invitation was taken back: what it was for is, too."""

from __future__ import annotations

import asyncio

from chargekey_access.application.retractions import Retractions
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import InvitationRevoked
from chargekey_common.reactions import On


def on_invitation_revoked(retractions: Retractions) -> On:
    """Return the reaction, acting on `retractions`."""

    async def react(event: InvitationRevoked, reaction: Reaction) -> None:
        await asyncio.to_thread(retractions.react_to_invitation_revoked, event, reaction)

    return On(InvitationRevoked, react)
