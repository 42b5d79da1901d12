"""A request for access was denied: whoever asked gets a mail."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import AccessRequestDenied
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_asker
from chargekey_notifier.mails.outbox import Outbox


def on_access_request_denied(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: AccessRequestDenied, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=to_asker(event.access_request_id),
            kind="access_request_denied",
            user_id=None,
            installation_id=event.installation_id,
            object_id=event.access_request_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(AccessRequestDenied, react)
