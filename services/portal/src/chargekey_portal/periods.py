"""A stretch of days as the parts that a chart shows: its days, or its months where it is long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

# Longer than this it is shown by months.
MOST_DAYS = 62
# Longer than this it is not shown over time at all.
MOST_MONTHS = 240
NANOSECONDS = 10**9
_LONGEST_MONTH = 31


class Parts(msgspec.Struct, frozen=True):
    """The days or months of a period; none where it is not shown over time."""

    # Nanoseconds since the epoch: where each begins, and where the last one ends.
    bounds: Sequence[int] = ()
    # The first day of each.
    firsts: Sequence[date] = ()
    by: Literal["day", "month"] = "day"

    @property
    def pattern(self) -> str:
        """What tells one from another, as a skeleton of CLDR."""
        if self.by == "day":
            return "MMMd"
        return "MMM" if self.firsts[0].year == self.firsts[-1].year else "yMMM"


def split(first: date, last: date, zone: ZoneInfo) -> Parts:
    """Return the parts from the first day to the last.

    None where it ends before it begins, or has too many.
    """
    end = last + timedelta(days=1)
    if not first < end or first.year < 1970 or (end.year - first.year) * 12 > MOST_MONTHS:  # noqa: PLR2004 - the epoch's
        return Parts()
    by: Literal["day", "month"] = "day" if (end - first).days <= MOST_DAYS else "month"
    firsts = list(_days(first, end) if by == "day" else _months(first, end))
    return Parts([_midnight(each, zone) for each in (*firsts, end)], firsts, by)


def called(since: str, until: str) -> str:
    """Return what files call a period, as in `2026-11`: a whole month or year by its own name.

    Both are days as in `2026-11-01`, or empty where it has no such end.
    """
    if not since or not until:
        return (since and f"from-{since}") or (until and f"until-{until}") or "all"
    first, after = date.fromisoformat(since), date.fromisoformat(until) + timedelta(days=1)
    if first.day == after.day == 1 and (after - first).days <= _LONGEST_MONTH:
        return f"{first:%Y-%m}"
    if (first.month, first.day, after) == (1, 1, first.replace(day=1, year=first.year + 1)):
        return f"{first:%Y}"
    return since if since == until else f"{since}_{until}"


def _days(first: date, end: date) -> Iterator[date]:
    for number in range((end - first).days):
        yield first + timedelta(days=number)


def _months(first: date, end: date) -> Iterator[date]:
    each = first
    while each < end:
        yield each
        each = (each.replace(day=1) + timedelta(days=31)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp()) * NANOSECONDS
