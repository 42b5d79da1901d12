"""A user was blocked: the administrator gets a mail about it."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import UserBlocked
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import ADMINISTRATOR, Mail
from chargekey_notifier.mails.outbox import Outbox


def on_user_blocked(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: UserBlocked, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=ADMINISTRATOR,
            kind="user_blocked",
            user_id=event.user_id,
            installation_id=event.installation_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(UserBlocked, react)
