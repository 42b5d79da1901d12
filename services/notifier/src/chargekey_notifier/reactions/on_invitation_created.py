"""Somebody was invited: he gets a mail with a link."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import InvitationCreated
from chargekey_common.reactions import On
from chargekey_notifier.mails.outbox import USER, Mail, Outbox


def on_invitation_created(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: InvitationCreated, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=USER,
            kind="invitation",
            user_id=event.user_id,
            at=reaction.at,
            invitation_id=event.invitation_id,
        )
        await asyncio.to_thread(outbox.add, mail, reaction.handled)

    return On(InvitationCreated, react)
