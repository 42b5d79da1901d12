"""Somebody is out of a partner: so is the invitation into it."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import PartnerMemberRemoved
from chargekey_common.reactions import On
from chargekey_identity.application.invitations import Invitations


def on_partner_member_removed(invitations: Invitations) -> On:
    """Return the reaction."""

    async def react(event: PartnerMemberRemoved, reaction: Reaction) -> None:
        await asyncio.to_thread(
            invitations.take_back,
            event.user_id,
            lambda given: given.partner_id == event.partner_id,
            reaction,
        )

    return On(PartnerMemberRemoved, react)
