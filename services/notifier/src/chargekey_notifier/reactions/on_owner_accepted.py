"""Who was made an owner by his address has accepted: the site's other owners get a mail."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import OwnerAccepted
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_owners
from chargekey_notifier.mails.outbox import Outbox


def on_owner_accepted(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: OwnerAccepted, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=to_owners(event.installation_id),
            kind="owner_added",
            user_id=event.user_id,
            installation_id=event.installation_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(OwnerAccepted, react)
