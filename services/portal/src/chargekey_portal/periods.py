"""A stretch of days as the parts that a chart shows: its days, or its months where it is long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# Longer than this it is shown by months.
MOST_DAYS = 62
# Longer than this it is not shown over time at all.
MOST_MONTHS = 240
NANOSECONDS = 10**9


def split(first: date, last: date, zone: ZoneInfo) -> tuple[Sequence[int], Sequence[date]]:
    """Return the bounds of the parts, in nanoseconds since the epoch, and each part's first day.

    `last` belongs to it. Nothing where it ends before it begins, or has too many parts.
    """
    end = last + timedelta(days=1)
    if not first < end or first.year < 1970 or (end.year - first.year) * 12 > MOST_MONTHS:  # noqa: PLR2004 - the epoch's
        return [], []
    days = (end - first).days
    starts = list(_days(first, end) if days <= MOST_DAYS else _months(first, end))
    return [_midnight(each, zone) for each in (*starts, end)], starts


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
