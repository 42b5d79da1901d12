"""Failed authentications, limited: in the memory of this replica, and only those that failed.

Not because anybody could guess: a charger's password has 160 random bits, its certificate is
signed, and to check either costs microseconds. What is limited is the noise of whoever fails
on and on: lines in the log, events, words in the answer. So what is right is let in from
whatever address and however often it was wrong before. Otherwise a guest behind a site's NAT
could lock the site's charger out, and anybody everybody where a proxy hides addresses.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable

from chargekey_gateway.api.networks import network_of

CAPACITY = 10_000
# In place of a charger's id: of none that exists, and of whichever.
_NOBODY, _WHICHEVER = "", "*"
_ANYWHERE = "*"  # in place of a network


class Failure(enum.Enum):
    """What a failure is, among those before it."""

    ONE_MORE = enum.auto()
    FIRST_TO_REACH_THE_LIMIT = enum.auto()  # of the charger's, within the window
    TOO_MANY = enum.auto()


class FailedAuthentications:
    """Counts failures of each charger from each network, and of each network.

    Up to `per_identity` and `per_address` within `window` seconds are answered in full; 0 is no
    limit. Of more than `CAPACITY` that have failed, the first is forgotten. Chargers that do
    not exist are one: whoever makes up names takes no more room than anybody else.
    """

    def __init__(
        self,
        *,
        per_identity: int,
        per_address: int,
        window: float,
        clock: Callable[[], float],
    ) -> None:
        """Count by `clock`, in seconds that only ever grow."""
        self._per_identity = per_identity
        self._per_address = per_address
        self._window = window
        self._clock = clock
        # By charger and network: how many, and until when they count.
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def failed(self, charger_id: str | None, address: str) -> Failure:
        """Count one at a charger, or at none."""
        network = network_of(address)
        mine = self._count(_NOBODY if charger_id is None else charger_id, network)
        all_ = self._count(_WHICHEVER, network) if self._per_address else 0
        if _beyond(mine, self._per_identity) or _beyond(all_, self._per_address):
            return Failure.TOO_MANY
        reached = mine == self._per_identity or 0 < all_ == self._per_address
        if reached and charger_id is not None and self._count(charger_id, _ANYWHERE) == 1:
            return Failure.FIRST_TO_REACH_THE_LIMIT
        return Failure.ONE_MORE

    def _count(self, charger_id: str, network: str) -> int:
        """Count it; the number within the window."""
        key = charger_id, network
        now = self._clock()
        count, ends_at = self._failed.get(key, (0, 0.0))
        if now >= ends_at:
            self._failed.pop(key, None)
            count, ends_at = 0, now + self._window
        self._failed[key] = count + 1, ends_at
        if len(self._failed) > CAPACITY:
            self._failed.popitem(last=False)
        return count + 1


def _beyond(count: int, most: int) -> bool:
    return 0 < most < count
