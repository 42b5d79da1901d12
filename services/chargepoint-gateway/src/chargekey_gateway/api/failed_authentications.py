"""Failed authentications, limited: in the memory of this replica, and only those that failed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

CAPACITY = 10_000


class FailedAuthentications:
    """Counts failures of each identity from each address, and of each address.

    `per_identity` and `per_address` fail within `window` seconds before the next is refused
    unread, the right one too; 0 is no limit. An identity's are counted by address as well,
    since otherwise anybody could lock a charger out by naming it. Of more than `CAPACITY`
    that have failed, the first is forgotten.
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
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def too_many(self, identity: str, address: str) -> bool:
        """Whether nothing is tried any more for now."""
        if not self._failed:  # as good as always
            return False
        return self._reached((identity, address), self._per_identity) or self._reached(
            ("", address), self._per_address
        )

    def failed(self, identity: str, address: str) -> bool:
        """Count one; whether that was the last for now."""
        mine = self._count((identity, address), self._per_identity)
        return self._count(("", address), self._per_address) or mine

    def _reached(self, key: tuple[str, str], most: int) -> bool:
        count, ends_at = self._failed.get(key, (0, 0.0))
        return 0 < most <= count and self._clock() < ends_at

    def _count(self, key: tuple[str, str], most: int) -> bool:
        if not most:
            return False
        now = self._clock()
        count, ends_at = self._failed.get(key, (0, 0.0))
        if now >= ends_at:
            self._failed.pop(key, None)
            count, ends_at = 0, now + self._window
        self._failed[key] = count + 1, ends_at
        if len(self._failed) > CAPACITY:
            self._failed.popitem(last=False)
        return count + 1 == most
