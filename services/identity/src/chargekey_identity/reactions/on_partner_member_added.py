"""Somebody was taken into a partner by his address: he is invited (R7)."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import PartnerMemberAdded
from chargekey_common.reactions import On
from chargekey_identity.application.invitations import Invitations
from chargekey_identity.domain.invitation import Given


def on_partner_member_added(invitations: Invitations) -> On:
    """Return the reaction."""

    async def react(event: PartnerMemberAdded, reaction: Reaction) -> None:
        if event.invited:
            given = Given(event.user_id, partner_id=event.partner_id)
            await asyncio.to_thread(invitations.invite, given, reaction)
        else:
            await asyncio.to_thread(invitations.pass_over, reaction)

    return On(PartnerMemberAdded, react)
