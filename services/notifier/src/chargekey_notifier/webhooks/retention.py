"""Retention: what was tried is told for thirty days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from chargekey_common.database import DatabaseUnavailableError
from chargekey_notifier.webhooks.store import Webhooks

EVERY = 3600.0  # seconds
KEPT = 30 * 24 * 3600 * 10**9  # nanoseconds

log = structlog.get_logger()


class Retention:
    """Forgets attempts, and what commands answered, after thirty days."""

    def __init__(
        self, webhooks: Webhooks, *, clock: Callable[[], int], every: float = EVERY
    ) -> None:
        """Look each `every` seconds; `clock` tells nanoseconds since the epoch."""
        self._webhooks = webhooks
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Forget until cancelled; what cannot be removed now is later."""
        while True:
            try:
                forgotten = await asyncio.to_thread(self._webhooks.forget, self._clock() - KEPT)
            except DatabaseUnavailableError as error:
                log.warning("webhooks_not_forgotten", again_in=self._every, error=str(error))
            else:
                if forgotten:
                    log.info("webhook_attempts_forgotten", attempts=forgotten)
            await asyncio.sleep(self._every)
