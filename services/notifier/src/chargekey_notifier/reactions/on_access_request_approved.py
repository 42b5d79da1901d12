"""A request for access was approved: those who manage the partner that asked get a mail.

A user hears of it by what he was given.
"""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import AccessRequestApproved
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_asker
from chargekey_notifier.mails.outbox import Outbox


def on_access_request_approved(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: AccessRequestApproved, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=to_asker(event.access_request_id),
            kind="access_request_approved",
            user_id=None,
            installation_id=event.installation_id,
            object_id=event.access_request_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(AccessRequestApproved, react)
