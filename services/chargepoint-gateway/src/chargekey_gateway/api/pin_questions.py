"""Questions about PINs, limited: a decision that is only asked for tells right from wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from chargekey_common.accounts import Caller
from chargekey_common.errors import TooManyAttemptsError

MOST = 10
WITHIN = 600 * 10**9  # nanoseconds
CAPACITY = 10_000

# Administrators and services can learn of any PIN by other ways.
_LIMITED = ("user:", "partner:")


class PinQuestions:
    """Counts what each person and each partner's program asks about an installation's PINs.

    `MOST` within `WITHIN` from the first on, right ones too. In the memory of this
    replica, as the gateway has no database: of several each allows as many, and a new
    one begins anew. Of more than `CAPACITY` that have asked, the first is forgotten.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        """Count by `clock`, nanoseconds."""
        self._clock = clock
        self._asked: OrderedDict[tuple[Caller, str], tuple[int, int]] = OrderedDict()

    def ask(self, caller: Caller, installation_id: str) -> None:
        """Count a question; raises TooManyAttemptsError, and what is refused is not counted."""
        if not caller.startswith(_LIMITED):
            return
        now, key = self._clock(), (caller, installation_id)
        count, ends_at = self._asked.get(key, (0, 0))
        # One that ends later than a new one would: the clock was set back.
        if not now < ends_at <= now + WITHIN:
            self._asked.pop(key, None)
            count, ends_at = 0, now + WITHIN
        if count >= MOST:
            raise TooManyAttemptsError(ends_at - now)
        self._asked[key] = count + 1, ends_at
        if len(self._asked) > CAPACITY:
            self._asked.popitem(last=False)
