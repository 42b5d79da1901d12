"""Whose an address is: what is given to one has a mail sent there, so not without end."""

from __future__ import annotations

import asyncio

from chargekey_access.api.identity import Identity
from chargekey_common.accounts import Caller, is_administrator
from chargekey_common.attempts import Attempts

# How many things a caller can give to addresses, and how many of them to one, within how
# many seconds.
MOST_IN_TOTAL = 200
MOST_PER_ADDRESS = 5
WITHIN = 86_400


class Addresses:
    """The one way from an address to a user, wherever one is given."""

    def __init__(self, identity: Identity, attempts: Attempts) -> None:
        self._identity = identity
        self._attempts = attempts

    async def user_of(self, caller: Caller, email: str) -> str:
        """Return the id of the user with this address, who is made if there is none (R7).

        Administrators are held to the limit of an address alone. Raises what
        `Identity.user_of` raises, or TooManyAttemptsError.
        """
        if not is_administrator(caller):
            await self._spend(f"addresses/{caller}", most=MOST_IN_TOTAL)
        user_id = await self._identity.user_of(email)
        # By the user, as only identity knows which spellings are one address.
        await self._spend(f"address/{caller}/{user_id}", most=MOST_PER_ADDRESS)
        return user_id

    async def _spend(self, key: str, *, most: int) -> None:
        await asyncio.to_thread(self._attempts.spend, key, most=most, within=WITHIN)
