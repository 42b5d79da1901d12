"""Retention: for how long a feed can be read again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from chargekey_common.database import DatabaseUnavailableError
from chargekey_notifier.feeds.store import Feeds

EVERY = 3600.0  # seconds
A_DAY = 24 * 3600 * 10**9  # nanoseconds
AT_ONCE = 5000  # events; a database is read by others meanwhile

log = structlog.get_logger()


class Retention:
    """Forgets what was told so many days ago."""

    def __init__(
        self, feeds: Feeds, *, days: int, clock: Callable[[], int], every: float = EVERY
    ) -> None:
        """Look after `feeds` each `every` seconds; `clock` tells nanoseconds since the epoch."""
        self._feeds = feeds
        self._days = days
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Forget until cancelled; what cannot be removed now is later."""
        while True:
            before = self._clock() - self._days * A_DAY
            try:
                while await asyncio.to_thread(self._feeds.forget, before, AT_ONCE):
                    pass
            except DatabaseUnavailableError as error:
                log.warning("feeds_not_forgotten", again_in=self._every, error=str(error))
            await asyncio.sleep(self._every)
