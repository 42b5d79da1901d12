"""Retention: what ended long enough ago is forgotten, and stays so when the past is filled anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from chargekey_common.database import DatabaseUnavailableError
from chargekey_history.projections.past import Past

EVERY = 3600.0  # seconds
A_DAY = 24 * 3600 * 10**9  # nanoseconds

log = structlog.get_logger()


class Retention:
    """Forgets sessions and refusals some days after their end was told; 0 days: never.

    Counted by the gateway's clock, which told of them, and not by the charger's: one that
    stands in 1970 would lose its sessions at once.
    """

    def __init__(
        self, past: Past, *, days: int, clock: Callable[[], int], every: float = EVERY
    ) -> None:
        """Look after `past` each `every` seconds; `clock` tells nanoseconds since the epoch."""
        self._past = past
        self._days = days
        self._clock = clock
        self._every = every

    def forgotten_before(self) -> int | None:
        """Return when that began which is kept; None where all of it is."""
        return None if self._days == 0 else self._clock() - self._days * A_DAY

    async def run(self) -> None:
        """Forget until cancelled; what cannot be removed now is later. Ends where all is kept."""
        while (before := self.forgotten_before()) is not None:
            try:
                forgotten = await asyncio.to_thread(self._past.forget, before)
            except DatabaseUnavailableError as error:
                log.warning("history_not_forgotten", again_in=self._every, error=str(error))
            else:
                if forgotten:
                    log.info("history_forgotten", entries=forgotten)
            await asyncio.sleep(self._every)
