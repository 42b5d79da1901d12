"""When a webhook that did not take an event is tried again. Pure."""

from __future__ import annotations

import datetime as dt
import email.utils

SECOND = 10**9  # nanoseconds
FIRST_DELAY = 5 * SECOND
LONGEST_DELAY = 2 * 3600 * SECOND
# Since the event was first not taken; then the webhook is disabled.
GIVEN_UP_AFTER = 3 * 24 * 3600 * SECOND
JITTER = 0.25  # of a delay, more or less
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def next_attempt(
    failures: int, *, failing_since: int, now: int, chance: float, not_before: int = 0
) -> int | None:
    """Return when to try again after `failures` in a row, the first at `failing_since`.

    Twice as long each time, up to two hours, so that an endpoint that comes back is not far
    behind; `chance` from 0 to 1 keeps those that failed together apart. `not_before` is what
    the endpoint asked for. Nothing is later than the end of the three days, when the last
    attempt is made; after that None: it is given up. All in nanoseconds since the epoch.
    """
    end = failing_since + GIVEN_UP_AFTER
    if now >= end:
        return None
    # By shifting no further than there is need: nobody wants a number of a thousand digits.
    delay = min(FIRST_DELAY << min(failures - 1, 20), LONGEST_DELAY)
    spread = int(delay * JITTER * (2 * chance - 1))
    return min(max(now + delay + spread, not_before), end)


def asked_for(retry_after: str | None, *, now: int) -> int:
    """Return until when a Retry-After (RFC 9110 §10.2.3) asks to wait; 0 where it says nothing."""
    if retry_after is None:
        return 0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        # Longer than it is waited at all, however many digits it has.
        return now + min(int(text[:9]) * SECOND, GIVEN_UP_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0
    if moment.tzinfo is None:  # "-0000": RFC 9110 dates are in UTC
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // _MICROSECOND * 1000
