"""Access to a site was asked for: its owners get a mail.

Where none is named, whoever asked sends the link himself.
"""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import AccessRequested
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_owners
from chargekey_notifier.mails.outbox import Outbox


def on_access_requested(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: AccessRequested, reaction: Reaction) -> None:
        mails = []
        if event.installation_id is not None:
            asker = event.user_id or event.partner_id
            mail = Mail(
                event_id=reaction.event_id,
                recipient=to_owners(event.installation_id),
                kind="access_requested",
                user_id=event.user_id,
                installation_id=event.installation_id,
                object_id=event.access_request_id,
                # Who takes a request back and asks anew is told of as one who asks.
                topic=f"{asker}/{event.installation_id}",
                at=reaction.at,
            )
            mails.append(mail)
        await asyncio.to_thread(outbox.add, reaction.handled, *mails)

    return On(AccessRequested, react)
