"""An invitation is sent once more, with a new link."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import InvitationRenewed
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_user
from chargekey_notifier.mails.outbox import Outbox


def on_invitation_renewed(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: InvitationRenewed, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=to_user(event.user_id),
            kind="invitation",
            user_id=event.user_id,
            object_id=event.invitation_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(InvitationRenewed, react)
