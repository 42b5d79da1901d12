"""Times on the wire: read as chargers write them, written as RFC 3339 in UTC.

Inside they are nanoseconds since the epoch.
"""

from __future__ import annotations

import datetime as dt
import re

from chargekey_common.errors import InvalidArgumentError

SECOND = 1_000_000_000  # nanoseconds
LEAP_SECOND = 60
HOUR = 60  # minutes
DAY = 24 * 60 * 60  # seconds
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LATEST = 2**63 - 1
_LATEST_WRITTEN = dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC)
_LONGEST = 40
_FORM = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
)


class TimestampUnreadableError(InvalidArgumentError):
    """A charger's timestamp is no time this side can keep."""

    code = "timestamp_unreadable"
    sentence = "Send timestamps as RFC 3339, between 1970 and 2262."


def parse(text: str) -> int:
    """Return nanoseconds since the epoch; raises TimestampUnreadableError.

    Without a zone it is UTC, which OCPP 1.6 §3.8 recommends and 2.x demands. Seconds
    may be missing, or 60 (a leap second), fractions of any length are cut at nanoseconds.
    """
    form = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if form is None:
        raise TimestampUnreadableError
    day, minute, seconds, fraction, sign, hours, minutes = form.groups()
    second = int(seconds or 0)
    offset = (int(hours or 0) * 60 + int(minutes or 0)) * (-60 if sign == "-" else 60)
    try:
        start = dt.datetime.fromisoformat(f"{day}T{minute}:00+00:00") - _EPOCH
    except ValueError:  # the 30th of February, the 25th hour
        raise TimestampUnreadableError from None
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    at = (start // dt.timedelta(seconds=1) + second - offset) * SECOND + nanoseconds
    is_clock = second <= LEAP_SECOND and abs(offset) <= DAY and int(minutes or 0) < HOUR
    if not is_clock or not 0 <= at <= _LATEST:
        raise TimestampUnreadableError
    return at


def write(at: int) -> str:
    """Return `at` as RFC 3339 in UTC, cut at milliseconds: a deadline never gets later."""
    try:
        moment = _EPOCH + dt.timedelta(milliseconds=at // 1_000_000)
    except OverflowError:
        moment = _LATEST_WRITTEN
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
