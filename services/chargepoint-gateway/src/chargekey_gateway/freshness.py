"""For how long the view has not been known to hold everything, and what follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import nats.errors

from chargekey_common import jetstream
from chargekey_common.follower import Follower
from chargekey_gateway.metrics import VIEW_LAG, VIEW_STALENESS
from chargekey_gateway.view.view import View

LOOK = 1.0  # seconds between two questions
PATIENCE = 2.0  # seconds for an answer


class Freshness:
    """Asks the streams of the view every second whether there is more, and tells the view.

    Its age is that of the older of its two halves: a permission that was taken away is in
    one stream, a card that was blocked in the other. That nothing is heard of a stream says
    nothing; only an answer that nothing is missing does, and it counts from when it was asked.
    """

    def __init__(
        self,
        view: View,
        followers: Sequence[Follower],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin fresh: nobody is let in before everything was read. `clock` tells seconds."""
        self._view = view
        self._followers = followers
        self._clock = clock
        self._whole_at = dict.fromkeys((each.stream for each in followers), clock())

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.gather(*map(self._ask, self._followers))
            staleness = self._clock() - min(self._whole_at.values())
            VIEW_STALENESS.set(staleness)
            self._view.set_staleness(staleness)
            await asyncio.sleep(LOOK)

    async def _ask(self, follower: Follower) -> None:
        asked_at = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                ahead = await jetstream.cancellably(follower.ahead())
        except (TimeoutError, nats.errors.Error, OSError):
            return
        if ahead is None:
            return
        VIEW_LAG.labels(follower.stream.lower()).set(ahead)
        if ahead == 0 and self._view.whole:
            self._whole_at[follower.stream] = asked_at
