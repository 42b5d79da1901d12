"""An erased user holds nothing: what he was given meanwhile, or a backup gave back, goes too."""

from __future__ import annotations

import asyncio

from chargekey_access.application.forgetting import Forgetting
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.identity import UserErased
from chargekey_common.reactions import On


def on_user_erased(forgetting: Forgetting) -> On:
    """Return the reaction, acting on `forgetting`."""

    async def react(event: UserErased, reaction: Reaction) -> None:
        await asyncio.to_thread(forgetting.react_to_user_erased, event, reaction)

    return On(UserErased, react)
