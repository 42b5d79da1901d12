"""A user is forgotten: so is what mails he wanted. Mails to him that wait are dropped."""

from __future__ import annotations

import asyncio

from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import UserErased
from chargekey_common.reactions import On
from chargekey_notifier.mails.choices import Choices


def on_user_erased(choices: Choices) -> On:
    """Return the reaction; who waits for an erased user's address is told there is none."""

    async def react(event: UserErased, reaction: Reaction) -> None:
        await asyncio.to_thread(choices.forget, event.user_id, reaction.handled)

    return On(UserErased, react)
