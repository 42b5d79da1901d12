"""Taking turns: work for a thousand chargers leaves the event loop to who taps meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets one go on in each iteration of the event loop, in the order in which they came.

    Between two of them whatever has arrived is read and answered. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def mine(self) -> None:
        """Return when it is one's turn; what follows, up to the next await, is the turn."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await turn

    def _next(self) -> None:
        """Let the first go on, unless it has gone; then the loop, and then the next one."""
        turn = self._waiting.popleft()
        if not turn.done():
            turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
