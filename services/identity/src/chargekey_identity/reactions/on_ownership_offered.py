"""An owner's place was offered to an address: its person is invited to accept it (R6, R7)."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import OwnershipOffered
from chargekey_common.reactions import On
from chargekey_identity.application.invitations import Invitations
from chargekey_identity.domain.invitation import Given


def on_ownership_offered(invitations: Invitations) -> On:
    """Return the reaction."""

    async def react(event: OwnershipOffered, reaction: Reaction) -> None:
        if event.invited:
            given = Given(event.to_user_id, installation_id=event.installation_id)
            await asyncio.to_thread(invitations.invite, given, reaction)
        else:
            await asyncio.to_thread(invitations.pass_over, reaction)

    return On(OwnershipOffered, react)
