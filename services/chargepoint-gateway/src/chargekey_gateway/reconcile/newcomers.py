"""Chargers that have just come: of many at once, all are let in before anything else is done."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

# Seconds without another one, after which those are seen to who came together.
LULL = 0.05
# Seconds that anybody waits for that: all chargers of a replica have come back by then.
LONGEST = 5.0
# As many are seen to in each lull: what is known while a charger is brought in line weighs more
# than its connection.
AT_ONCE = 200


class Newcomers:
    """Has them reconciled: one by itself at once, and of many nobody before the last has come.

    What follows from coming takes longer than all the rest of it, and nobody stands waiting for
    it. Belongs to one event loop.
    """

    def __init__(
        self, reconcile: Callable[[str], None], *, lull: float = LULL, longest: float = LONGEST
    ) -> None:
        """Call `reconcile` with each, after a `lull` or when one has waited the `longest`."""
        self._reconcile = reconcile
        self._lull = lull
        self._longest = longest
        self._waiting: dict[str, None] = {}  # in the order they came
        self._last = -lull
        self._first = 0.0  # when the first of those came that wait
        self._look: asyncio.TimerHandle | None = None

    def __contains__(self, charger_id: object) -> bool:
        """Whether it is to be reconciled yet."""
        return charger_id in self._waiting

    def came(self, charger_id: str) -> None:
        """Have it reconciled, when it is its turn."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        is_alone = not self._waiting and now - self._last >= self._lull
        self._last = now
        if is_alone:
            self._reconcile(charger_id)
            return
        if not self._waiting:
            self._first = now
        self._waiting[charger_id] = None
        if self._look is None:
            self._look = loop.call_later(self._lull, self._look_again)

    def left(self, charger_id: str) -> None:
        """Forget one that has gone."""
        self._waiting.pop(charger_id, None)

    def all_now(self) -> None:
        """See to all of them, whoever comes meanwhile."""
        self.close()
        several, self._waiting = self._waiting, {}
        for charger_id in several:
            self._reconcile(charger_id)

    def close(self) -> None:
        """See to nobody any more."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_again(self) -> None:
        self._look = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._last >= self._lull or now - self._first >= self._longest:
            for charger_id in tuple(itertools.islice(self._waiting, AT_ONCE)):
                del self._waiting[charger_id]
                self._reconcile(charger_id)
        if self._waiting:
            self._look = loop.call_later(self._lull, self._look_again)
