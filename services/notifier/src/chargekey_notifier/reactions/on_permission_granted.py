"""Somebody was given access: he gets a mail, and is reminded before it ends.

Not where he was named by his address, which gets an invitation, nor of what he gave himself.
"""

from __future__ import annotations

import asyncio

from chargekey_common.accounts import person_of
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.access import PermissionGranted
from chargekey_common.reactions import On
from chargekey_notifier.mails.kinds import Mail, to_user
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.reminders import reminders


def on_permission_granted(outbox: Outbox) -> On:
    """Return the reaction, which leaves the mails in `outbox`."""

    async def react(event: PermissionGranted, reaction: Reaction) -> None:
        mails: list[Mail] = []
        if event.user_id is not None:
            mails += reminders(
                "permission_ends",
                event.user_id,
                event.permission_id,
                event.valid_until,
                reaction.at,
                installation_id=event.installation_id,
                charger_id=event.charger_id,
            )
            if person_of(reaction.actor) != event.user_id and not event.invited:
                mail = Mail(
                    event_id=reaction.event_id,
                    recipient=to_user(event.user_id),
                    kind="permission_given",
                    user_id=event.user_id,
                    installation_id=event.installation_id,
                    charger_id=event.charger_id,
                    object_id=event.permission_id,
                    topic=event.permission_id,
                    at=reaction.at,
                )
                mails.append(mail)
        await asyncio.to_thread(outbox.add, reaction.handled, *mails)

    return On(PermissionGranted, react)
