"""How many new starts a charger may tell: transaction ids and memory are everybody's.

OCPP 1.6 has 2^31 ids in all (`stream.py`), and every session that runs is remembered by every
replica. A sound charger comes nowhere near; one back from a day offline tells hundreds at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from prometheus_client import Counter

from chargekey_gateway.sessions.errors import StartsPutOffError

AT_ONCE = 300
THEN_EVERY = 10.0  # seconds

_PUT_OFF = Counter("session_starts_put_off_total", "Starts of chargers that tell too many.")

log = structlog.get_logger()


class Allowance:
    """Counts the new starts of each charger; a start that is told again is none."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds, and is never set."""
        self._clock = clock
        # By charger, until when all that it told would have taken at the slow rate.
        self._worth_until: dict[str, float] = {}
        self._put_off: set[str] = set()

    def is_used_up(self, charger_id: str) -> bool:
        """Whether the charger may tell no new start now."""
        ahead = self._worth_until.get(charger_id, 0.0) - self._clock()
        return ahead > (AT_ONCE - 1) * THEN_EVERY

    def use(self, charger_id: str) -> None:
        """Know that the charger has told a new start."""
        self._put_off.discard(charger_id)
        known = self._worth_until.get(charger_id, 0.0)
        self._worth_until[charger_id] = max(known, self._clock()) + THEN_EVERY

    def put_off(self, charger_id: str) -> StartsPutOffError:
        """Count a start that has to be told again later, and return what is raised for it."""
        _PUT_OFF.inc()
        if charger_id not in self._put_off:  # once, until one is taken again
            self._put_off.add(charger_id)
            log.warning("charger_starts_too_often", charger=charger_id)
        return StartsPutOffError()
