"""Days as people say them, to the instants they begin and end (R18)."""

from __future__ import annotations

import datetime as dt
import functools
import re
from zoneinfo import ZoneInfo, available_timezones

from chargekey_common.errors import InvalidArgumentError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST, _LAST = -(2**63), 2**63 - 1
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# In the files of zones, and no zone: whatever this machine's is, and a placeholder.
_NO_ZONES = frozenset({"Factory", "localtime"})


class TimeZoneUnknownError(InvalidArgumentError):
    """No such zone."""

    code = "time_zone_unknown"
    sentence = "Name a time zone of the IANA list, as in Europe/Oslo."


class DateMalformedError(InvalidArgumentError):
    """Not a date."""

    code = "date_malformed"
    sentence = "Give days as YYYY-MM-DD."


class DateTooLateError(InvalidArgumentError):
    """Beyond what 64 bits of nanoseconds can tell."""

    code = "date_too_late"
    sentence = "Give a day before the year 2262, or none for no end."


class DateInPastError(InvalidArgumentError):
    """It would have ended before it began."""

    code = "date_in_past"
    sentence = "The last day lies in the past; give today or a later day."


def time_zone(name: str) -> ZoneInfo:
    """Return the zone; raises TimeZoneUnknownError."""
    # Not by trying: a file system may be blind to case, and has other files below its zones.
    if not is_time_zone(name):
        raise TimeZoneUnknownError
    return ZoneInfo(name)


def is_time_zone(name: str) -> bool:
    """Return whether there is such a zone."""
    return name in _zones()


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_ZONES


def end_of(day: str, zone: str, *, now: int) -> int | None:
    """Return the first nanosecond after the local `day`; None for an empty one.

    `now` is in nanoseconds since the epoch. Raises DateMalformedError,
    DateInPastError, DateTooLateError or TimeZoneUnknownError.
    """
    if not day:
        return None
    end = _midnight(day, zone, days=1)
    if end <= now:
        raise DateInPastError
    return end


def period(first: str, last: str, zone: str) -> tuple[int | None, int | None]:
    """Return when the local day `first` begins, and the first nanosecond after `last`.

    In nanoseconds since the epoch; None for an empty one. Raises DateMalformedError,
    DateTooLateError or TimeZoneUnknownError.
    """
    return (
        _midnight(first, zone, days=0) if first else None,
        _midnight(last, zone, days=1) if last else None,
    )


def _midnight(day: str, zone: str, *, days: int) -> int:
    """Return when it begins, so many days later: a day before 1678 as if it were that year's."""
    if _DAY.fullmatch(day) is None:
        raise DateMalformedError
    try:
        date = dt.date.fromisoformat(day)
    except ValueError:
        raise DateMalformedError from None
    try:
        midnight = dt.datetime.combine(date + dt.timedelta(days=days), dt.time(), time_zone(zone))
        since_epoch = midnight.astimezone(dt.UTC) - _EPOCH
    except OverflowError:
        if date.year == dt.MINYEAR:
            return _FIRST
        raise DateTooLateError from None
    begins = since_epoch // dt.timedelta(seconds=1) * 10**9
    if begins > _LAST:
        raise DateTooLateError
    return max(begins, _FIRST)
