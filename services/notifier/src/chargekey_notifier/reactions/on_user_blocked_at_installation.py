"""A user was blocked at a site: he gets a mail, which does not say by whom."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import UserBlockedAtInstallation
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_user
from chargekey_notifier.mails.outbox import Outbox


def on_user_blocked_at_installation(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: UserBlockedAtInstallation, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=to_user(event.user_id),
            kind="blocked_at_site",
            user_id=event.user_id,
            installation_id=event.installation_id,
            topic=event.installation_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(UserBlockedAtInstallation, react)
