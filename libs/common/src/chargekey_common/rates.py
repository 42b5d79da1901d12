"""How often somebody may ask: counted in memory, by each replica for itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# Of whom is counted; with one more it begins anew for all.
MOST_KEYS = 10_000


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

    def wait(self, key: str) -> int:
        """Count one and return 0; where it is one too many, the seconds until the next may come."""
        now = self._clock()
        count, ends_at = self._counted.get(key, (0, 0.0))
        if ends_at <= now:
            count, ends_at = 0, now + self._within
        if count >= self._most:
            return math.ceil(ends_at - now)
        if key not in self._counted and len(self._counted) >= MOST_KEYS:
            self._counted.clear()
        self._counted[key] = count + 1, ends_at
        return 0
