"""An owner's place is offered no longer: the invitation to it is void."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import OwnershipOfferWithdrawn
from chargekey_common.reactions import On
from chargekey_identity.application.invitations import Invitations
from chargekey_identity.domain.invitation import Given


def on_ownership_offer_withdrawn(invitations: Invitations) -> On:
    """Return the reaction."""

    async def react(event: OwnershipOfferWithdrawn, reaction: Reaction) -> None:
        offer = Given(event.to_user_id, installation_id=event.installation_id)
        await asyncio.to_thread(
            invitations.take_back, event.to_user_id, lambda given: given == offer, reaction
        )

    return On(OwnershipOfferWithdrawn, react)
