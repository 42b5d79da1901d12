"""Somebody's access was taken away: he gets a mail, unless he left by himself."""

from __future__ import annotations

import asyncio

from chargekey_common.accounts import person_of
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import PermissionRevoked
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_user
from chargekey_notifier.mails.outbox import Outbox


def on_permission_revoked(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mail in `outbox`."""

    async def react(event: PermissionRevoked, reaction: Reaction) -> None:
        mails = []
        if event.user_id is not None and person_of(reaction.actor) != event.user_id:
            mail = Mail(
                event_id=reaction.event_id,
                recipient=to_user(event.user_id),
                kind="permission_removed",
                user_id=event.user_id,
                installation_id=event.installation_id,
                charger_id=event.charger_id,
                object_id=event.permission_id,
                topic=event.permission_id,
                at=reaction.at,
            )
            mails.append(mail)
        await asyncio.to_thread(outbox.add, reaction.handled, *mails)

    return On(PermissionRevoked, react)
