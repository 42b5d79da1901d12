"""Whether a caller may: what others ask access over the wire, asked at home."""

from __future__ import annotations

import asyncio

from chargekey_access.application import Access
from chargekey_common.accounts import Caller
from chargekey_common.errors import PermissionDeniedError


class LocalCheck:
    """The server's question, answered by the application itself."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        """Raise PermissionDeniedError unless the caller may."""
        if not await asyncio.to_thread(self._access.allowed, caller, action, obj):
            raise PermissionDeniedError
