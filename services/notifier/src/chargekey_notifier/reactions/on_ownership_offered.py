"""A site was offered to somebody who has an account: he gets a mail.

Whoever was named by his address is invited instead.
"""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import OwnershipOffered
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_user
from chargekey_notifier.mails.outbox import Outbox


def on_ownership_offered(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: OwnershipOffered, reaction: Reaction) -> None:
        mails = []
        if not event.invited:
            mail = Mail(
                event_id=reaction.event_id,
                recipient=to_user(event.to_user_id),
                kind="ownership_offered",
                user_id=event.to_user_id,
                installation_id=event.installation_id,
                topic=event.installation_id,
                at=reaction.at,
            )
            mails.append(mail)
        await asyncio.to_thread(outbox.add, reaction.handled, *mails)

    return On(OwnershipOffered, react)
