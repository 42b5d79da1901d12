"""PIN guessing (R14): wrong PINs counted, and the locks that follow from them. Pure.

A `Tally` is what is known of one charger, or of one installation. Two that were counted
apart, by two replicas or while NATS was away, become one by `merged`: in whatever order
and however often, the outcome is the same. All times are nanoseconds since the epoch.
"""

from __future__ import annotations

import msgspec

_MINUTE = 60 * 10**9

WINDOW = 10 * _MINUTE
MOST_AT_CHARGER = 5
# Over all its chargers; no single one gets there, but whoever goes from one to the next,
# or types a PIN of his own between the others' so that the charger counts anew.
MOST_AT_INSTALLATION = 50
SHORTEST = 5 * _MINUTE
LONGEST = 60 * _MINUTE
# What a lock that ended longer ago has to do with the next one: nothing.
FORGOTTEN = 24 * 60 * _MINUTE


class Lock(msgspec.Struct, frozen=True, order=True):
    """No PIN works from `since` to the exclusive `until`; the `number`th in a row, 0 for none."""

    until: int = 0
    since: int = 0
    number: int = 0


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """The times of wrong PINs that count for the next lock, ascending, and the last lock.

    `reset_at` is the last success: wrong PINs up to then do not count, and a lock that
    had ended by then makes the next one no longer.
    """

    failures: tuple[int, ...] = ()
    lock: Lock = Lock()
    reset_at: int = 0

    def locked(self, at: int) -> bool:
        """Whether PINs do not work at `at`."""
        return self.lock.since <= at < self.lock.until

    def over(self, at: int) -> bool:
        """Whether it says nothing any more about `at` and what comes after."""
        newest = max((*self.failures, self.reset_at))
        return newest + WINDOW <= at and self.lock.until + FORGOTTEN <= at


NOTHING = Tally()


def failed(tally: Tally, at: int, most: int) -> Tally:
    """Count a wrong PIN; the `most`th within `WINDOW` locks, and while locked none counts."""
    return merged(tally, Tally(failures=(at,)), most)


def succeeded(tally: Tally, at: int, most: int) -> Tally:
    """Begin to count anew: the right PIN was presented."""
    return merged(tally, Tally(reset_at=at), most)


def merged(one: Tally, other: Tally, most: int) -> Tally:
    """Make one of two; wrong PINs that both know of are the same ones."""
    reset_at, lock = max(one.reset_at, other.reset_at), max(one.lock, other.lock)
    counted: list[int] = []
    for at in sorted({*one.failures, *other.failures}):
        if at <= reset_at or at < lock.until:
            continue
        counted = [*(each for each in counted if each > at - WINDOW), at]
        if len(counted) >= most:
            lock, counted = _next(lock, at, reset_at), []
    return Tally(tuple(counted), lock, reset_at)


def _next(last: Lock, at: int, reset_at: int) -> Lock:
    in_a_row = reset_at < last.until and at < last.until + FORGOTTEN
    number = last.number + 1 if in_a_row else 1
    return Lock(at + min(SHORTEST << min(number - 1, 8), LONGEST), at, number)
