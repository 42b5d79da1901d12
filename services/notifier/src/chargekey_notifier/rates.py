"""How often somebody may ask: counted in memory, by each replica for itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from starlette.requests import Request

from chargekey_notifier.errors import TooManyRequestsError

# Of whom is counted; with one more it begins anew for all.
MOST_KEYS = 10_000
MINUTE = 60.0
# Refused requests from one address, in a minute.
MOST_STRANGERS = 600


class Rates:
    """Lets `most` through in the `within` seconds from the first on, for each key.

    `clock` tells seconds that never go back.
    """

    def __init__(
        self, *, most: int, within: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._within = within
        self._clock = clock
        self._counted: dict[str, tuple[int, float]] = {}

    def spend(self, key: str) -> None:
        """Count one; raises TooManyRequestsError, which says when to try again."""
        now = self._clock()
        count, ends_at = self._counted.get(key, (0, 0.0))
        if ends_at <= now:
            count, ends_at = 0, now + self._within
        if count >= self._most:
            raise TooManyRequestsError(math.ceil(ends_at - now))
        if key not in self._counted and len(self._counted) >= MOST_KEYS:
            self._counted.clear()
        self._counted[key] = count + 1, ends_at


class Strangers(Rates):
    """Counts requests of whoever turned out to be nobody, by their addresses.

    To be counted only then, so that who has the right secret is let in however often it was
    wrong: behind a proxy strangers have the address of everybody.
    """

    def __init__(self) -> None:
        super().__init__(most=MOST_STRANGERS, within=MINUTE)

    def count(self, request: Request) -> None:
        """Count one; raises TooManyRequestsError."""
        self.spend(request.client.host if request.client else "")
