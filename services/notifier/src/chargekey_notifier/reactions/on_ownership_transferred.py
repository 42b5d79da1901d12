"""A site changed hands: the new owner, the one before and the others get a mail each."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import OwnershipTransferred
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Kind, Mail, to_owners, to_user
from chargekey_notifier.mails.outbox import Outbox


def on_ownership_transferred(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mails in `outbox`."""

    async def react(event: OwnershipTransferred, reaction: Reaction) -> None:
        recipients: dict[str, Kind] = {
            to_user(event.to_user_id): "ownership_received",
            to_user(event.from_user_id): "ownership_handed_over",
            to_owners(event.installation_id): "owner_added",
        }
        mails = [
            Mail(
                event_id=reaction.event_id,
                recipient=recipient,
                kind=kind,
                user_id=event.to_user_id,
                installation_id=event.installation_id,
                at=reaction.at,
            )
            for recipient, kind in recipients.items()
        ]
        await asyncio.to_thread(outbox.add, reaction.handled, *mails)

    return On(OwnershipTransferred, react)
