"""Taking turns: work for a thousand chargers leaves the event loop to who taps meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from typing import TypeAlias, TypeVar

Result = TypeVar("Result")
# What is worked out, and may be interrupted wherever it yields.
Work: TypeAlias = Generator[None, None, Result]

SLICE = 0.002  # seconds


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

    async def spend(self, work: Work[Result]) -> Result:
        """Work it out, at most about `SLICE` in one turn, and return it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE
        while True:
            try:
                next(work)
            except StopIteration as done:
                result: Result = done.value
                return result
            if loop.time() >= until:
                await self.mine()
                until = loop.time() + SLICE

    def _next(self) -> None:
        """Let the first go on, unless it has gone; then the loop, and then the next one."""
        turn = self._waiting.popleft()
        if not turn.done():
            turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)


def at_once(work: Work[Result]) -> Result:
    """Work it out in one go, and return it."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: Result = done.value
            return result
