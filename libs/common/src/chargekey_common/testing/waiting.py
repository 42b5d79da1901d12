"""Waiting for what another task, or a server, does: no longer than it takes, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SOON = 0.005  # seconds


async def until(condition: Callable[[], object], within: float = 30.0) -> None:
    """Return once `condition` holds; raises TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(SOON)
