"""Something to present has an end: its user is reminded before it."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import IdentificationAdded
from chargekey_common.reactions import On
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.reminders import reminders


def on_identification_added(outbox: Outbox) -> On:
    """Return the reaction, which leaves the reminders in `outbox`."""

    async def react(event: IdentificationAdded, reaction: Reaction) -> None:
        mails = reminders(
            "identification_ends",
            event.user_id,
            event.identification_id,
            event.valid_until,
            reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, *mails)

    return On(IdentificationAdded, react)
