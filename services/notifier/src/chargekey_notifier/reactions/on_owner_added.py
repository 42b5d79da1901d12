"""Somebody owns a site, too: its other owners get a mail.

Of whoever was invited they hear once he has accepted.
"""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import OwnerAdded
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_owners
from chargekey_notifier.mails.outbox import Outbox


def on_owner_added(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: OwnerAdded, reaction: Reaction) -> None:
        mails = []
        if not event.invited:
            mail = Mail(
                event_id=reaction.event_id,
                recipient=to_owners(event.installation_id),
                kind="owner_added",
                user_id=event.user_id,
                installation_id=event.installation_id,
                at=reaction.at,
            )
            mails.append(mail)
        await asyncio.to_thread(outbox.add, reaction.handled, *mails)

    return On(OwnerAdded, react)
