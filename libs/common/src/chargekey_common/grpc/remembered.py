"""What the rules said a moment ago, for methods that are asked thousands of times a second."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from chargekey_common.accounts import Caller

# Seconds. Less than it takes somebody to notice that he may no more, or not yet.
BRIEFLY = 2.0
CAPACITY = 10_000

Asked = tuple[Caller, str, str]


class Remembered:
    """Asks the rules, and goes by a yes for `BRIEFLY` seconds from its question on.

    A no is not remembered: whoever has just been given a role has it. Of more than `CAPACITY`
    answers all are forgotten. `clock` tells seconds that never go back.
    """

    def __init__(
        self,
        check: Callable[[Caller, str, str], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._clock = clock
        self._until: dict[Asked, float] = {}

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        """Return when allowed; raise what the rules say when not."""
        asked = caller, action, obj
        now = self._clock()
        if now < self._until.get(asked, now):
            return
        await self._check(caller, action, obj)
        if len(self._until) >= CAPACITY:
            self._until.clear()
        self._until[asked] = now + BRIEFLY
