"""A circuit breaker: whoever does not answer is left alone for a while. Pure.

closed → open, after `MOST` failures in a row → half-open, once the pause is over: one
question is let through → closed again when it is answered, else open for twice as long.
Whatever is answered is an answer, also one that says nothing: a token that an operator cannot
deal with says nothing about anybody else's. One that asks for patience is open for so long.
All times are nanoseconds on any clock that does not go back.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

_SECOND = 10**9

MOST = 5
SHORTEST = 1 * _SECOND
LONGEST = 60 * _SECOND


class Breaker(msgspec.Struct, frozen=True):
    """`opened` counts how often in a row it has opened; `until` is when the pause is over."""

    failures: int = 0
    opened: int = 0
    until: int = 0
    probing: bool = False

    @property
    def closed(self) -> bool:
        """Whether everybody may ask."""
        return self.opened == 0


CLOSED = Breaker()


def asking(breaker: Breaker, now: int) -> Breaker | None:
    """Return the breaker with this question on its way, or None where it may not be asked."""
    if breaker.closed:
        return breaker
    if breaker.probing or now < breaker.until:
        return None
    return replace(breaker, probing=True)


def succeeded(_: Breaker) -> Breaker:
    """Close it: whoever answers is there, also where the question was asked before it opened."""
    return CLOSED


def failed(breaker: Breaker, now: int, *, probe: bool) -> Breaker:
    """Count a failure; `probe` where the question was the one that was let through.

    Failures of questions that were asked before it opened change nothing any more.
    """
    if breaker.closed:
        failures = breaker.failures + 1
        if failures < MOST:
            return replace(breaker, failures=failures)
        return _open(breaker, now)
    return _open(breaker, now) if probe else breaker


def put_off(breaker: Breaker, now: int, pause: int, *, probe: bool) -> Breaker:
    """Open it for the `pause` that was asked for, within bounds; nothing has failed."""
    until = now + min(max(pause, SHORTEST), LONGEST)
    return replace(
        breaker,
        failures=0,
        opened=max(breaker.opened, 1),
        until=max(breaker.until, until),
        probing=breaker.probing and not probe,
    )


def abandoned(breaker: Breaker, *, probe: bool) -> Breaker:
    """Let go of a question that nobody waits for any more: it says nothing."""
    return replace(breaker, probing=False) if probe else breaker


def _open(breaker: Breaker, now: int) -> Breaker:
    opened = breaker.opened + 1
    pause = min(SHORTEST << min(opened - 1, 8), LONGEST)
    return Breaker(failures=0, opened=opened, until=now + pause)
