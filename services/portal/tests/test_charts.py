"""What a report's chart draws, and what its files are called: values in, values out."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from chargekey_portal.charts import MOST_LABELS, MOST_ON_A_PHONE, MOST_STEPS, chart
from chargekey_portal.downloads import attachment
from chargekey_portal.periods import called, split

OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    ("highest", "steps"),
    [
        (1, [0, 1]),
        (5, [0, 1, 2, 3, 4, 5]),
        (6, [0, 2, 4, 6]),
        (12, [0, 5, 10, 15]),
        (800, [0, 200, 400, 600, 800]),
        (264_310, [0, 100_000, 200_000, 300_000]),
    ],
)
def test_a_scale_counts_in_round_steps_that_reach_the_highest_bar(
    highest: int, steps: list[int]
) -> None:
    drawn = chart([0, highest])
    assert drawn is not None
    assert [each.value for each in drawn.steps] == steps
    assert len(steps) <= MOST_STEPS + 1
    # Bars stand on the scale that they are read by.
    none, top = drawn.bars
    assert (none.y, none.height) == (drawn.steps[0].y, 0)
    share = highest / steps[-1]
    assert top.height == pytest.approx(share * (drawn.steps[0].y - drawn.steps[-1].y), abs=0.01)
    assert drawn.highest == 1


@pytest.mark.parametrize("values", [[], [0], [0, 0], [-5, 0]])
def test_nothing_is_drawn_of_nothing(values: list[int]) -> None:
    assert chart(values) is None


@pytest.mark.parametrize("count", [1, 2, 5, 6, 11, 12, 13, 28, 31, 62, 240])
def test_labels_have_room_beside_each_other(count: int) -> None:
    drawn = chart([1] * count)
    assert drawn is not None
    shown = [number for number, each in enumerate(drawn.bars) if each.labelled]
    on_a_phone = [number for number, each in enumerate(drawn.bars) if each.labelled_on_a_phone]
    assert shown[0] == on_a_phone[0] == 0
    assert set(on_a_phone) <= set(shown)
    assert len(shown) <= MOST_LABELS
    assert len(on_a_phone) <= MOST_ON_A_PHONE


@pytest.mark.parametrize(
    ("first", "last", "by", "pattern", "count"),
    [
        (date(2026, 11, 1), date(2026, 11, 30), "day", "MMMd", 30),
        (date(2026, 1, 1), date(2026, 11, 21), "month", "MMM", 11),
        (date(2025, 11, 15), date(2026, 2, 1), "month", "yMMM", 4),
        (date(2026, 2, 1), date(2026, 1, 1), "day", "MMMd", 0),
    ],
)
def test_a_period_is_shown_by_its_days_or_months(
    first: date, last: date, by: str, pattern: str, count: int
) -> None:
    parts = split(first, last, OSLO)
    assert (parts.by, parts.pattern, len(parts.firsts)) == (by, pattern, count)
    assert len(parts.bounds) == (count + 1 if count else 0)


@pytest.mark.parametrize(
    ("since", "until", "name"),
    [
        ("2026-11-01", "2026-11-30", "2026-11"),
        ("2024-02-01", "2024-02-29", "2024-02"),
        ("2026-01-01", "2026-12-31", "2026"),
        ("2026-11-05", "2026-11-05", "2026-11-05"),
        ("2026-01-01", "2026-11-21", "2026-01-01_2026-11-21"),
        ("2026-11-01", "2026-12-31", "2026-11-01_2026-12-31"),
        ("2026-11-01", "", "from-2026-11-01"),
        ("", "2026-11-30", "until-2026-11-30"),
        ("", "", "all"),
    ],
)
def test_a_file_names_its_period_as_shortly_as_it_can(since: str, until: str, name: str) -> None:
    assert called(since, until) == name


@pytest.mark.parametrize(
    ("installation", "in_ascii", "as_written"),
    [
        ("Storgata", "sessions-storgata-2026-11.csv", None),
        ("Storgata 14, (garage)", "sessions-storgata-14-garage-2026-11.csv", None),
        ('"; x=../\r\nSet-Cookie: a', "sessions-x-set-cookie-a-2026-11.csv", None),
        ("Bjørkås", "sessions-bjorkas-2026-11.csv", "sessions-bj%C3%B8rk%C3%A5s-2026-11.csv"),
        ("充电站", "sessions-2026-11.csv", "sessions-%E5%85%85%E7%94%B5%E7%AB%99-2026-11.csv"),
        ("///", "sessions-2026-11.csv", None),
    ],
)
def test_a_file_names_its_installation_in_ascii_and_as_it_is_written(
    installation: str, in_ascii: str, as_written: str | None
) -> None:
    """RFC 6266."""
    extended = f"; filename*=UTF-8''{as_written}" if as_written else ""
    header = f'attachment; filename="{in_ascii}"{extended}'
    assert attachment("sessions", installation, "2026-11.csv") == header
