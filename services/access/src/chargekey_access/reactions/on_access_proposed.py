"""Whoever was imported gets the roles that the table says."""

from __future__ import annotations

import asyncio

from chargekey_access.application.proposals import Proposals
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import AccessProposed
from chargekey_common.reactions import On


def on_access_proposed(proposals: Proposals) -> On:
    """Return the reaction, acting on `proposals`."""

    async def react(event: AccessProposed, reaction: Reaction) -> None:
        await asyncio.to_thread(proposals.react_to_access_proposed, event, reaction)

    return On(AccessProposed, react)
