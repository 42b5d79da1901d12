"""Wrong PINs locked PINs at a charger: the site's owners get a mail, once an hour."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.chargers import PinLockedOut
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_owners
from chargekey_notifier.mails.outbox import Outbox


def on_pin_locked_out(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: PinLockedOut, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=to_owners(event.installation_id),
            kind="pins_locked_out",
            user_id=None,
            installation_id=event.installation_id,
            charger_id=event.charger_id,
            until=event.until,
            topic=event.charger_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(PinLockedOut, react)
