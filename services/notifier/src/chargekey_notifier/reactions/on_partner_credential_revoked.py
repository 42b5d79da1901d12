"""A partner's credential was revoked: at NATS it pulls nothing more."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import PartnerCredentialRevoked
from chargekey_common.reactions import On
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.nats_door.door import NatsDoor


def on_partner_credential_revoked(door: NatsDoor, outbox: Outbox) -> On:
    """Return the reaction; `outbox` keeps what was handled."""

    async def react(event: PartnerCredentialRevoked, reaction: Reaction) -> None:
        # Before it is marked as handled: done twice is the same as done once.
        await door.close_to(event.partner_id, event.credential_id)
        await asyncio.to_thread(outbox.add, reaction.handled)

    return On(PartnerCredentialRevoked, react)
