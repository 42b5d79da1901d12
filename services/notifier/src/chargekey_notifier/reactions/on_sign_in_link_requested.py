"""Somebody wants to sign in: the address gets a mail with a link."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import SignInLinkRequested
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_user
from chargekey_notifier.mails.outbox import Outbox


def on_sign_in_link_requested(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: SignInLinkRequested, reaction: Reaction) -> None:
        mail = Mail(
            event_id=reaction.event_id,
            recipient=to_user(event.user_id),
            kind="sign_in_link",
            user_id=event.user_id,
            at=reaction.at,
        )
        await asyncio.to_thread(outbox.add, reaction.handled, mail)

    return On(SignInLinkRequested, react)
