"""When is the next attempt: as values."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_notifier.webhooks.retrying import (
    FIRST_DELAY,
    GIVEN_UP_AFTER,
    JITTER,
    LONGEST_DELAY,
    SECOND,
    asked_for,
    next_attempt,
)

NOW = 1_800_000_000 * SECOND
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def delays(chance: float) -> list[int]:
    """Return how long each wait is where nothing is ever taken and requests take no time."""
    now, waits = NOW, []
    while True:
        again = next_attempt(len(waits) + 1, failing_since=NOW, now=now, chance=chance)
        if again is None:
            return waits
        waits.append(again - now)
        now = again


@given(st.floats(0, 1))
def test_waits_grow_from_seconds_to_hours_and_end_after_three_days(chance: float) -> None:
    """F25."""
    waits = delays(chance)
    assert sum(waits) == GIVEN_UP_AFTER
    assert waits[0] < 10 * SECOND
    # The last one is what is left of the three days.
    assert all(waits[i] <= waits[i + 1] for i in range(len(waits) - 2))
    assert max(waits) <= LONGEST_DELAY * (1 + JITTER)
    assert 30 < len(waits) < 70


def test_waits_are_these() -> None:
    assert [each // SECOND for each in delays(0.5)[:13]] == [
        *(5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 7200, 7200)
    ]


@given(
    failures=st.integers(1, 10**9),
    since=st.integers(0, 4 * 24 * 3600),
    chance=st.floats(0, 1),
    more=st.integers(-HOUR, 1000 * HOUR),
)
def test_what_is_asked_for_is_honoured_up_to_the_end(
    failures: int, since: int, chance: float, more: int
) -> None:
    """F26."""
    began, end = NOW - since * SECOND, NOW - since * SECOND + GIVEN_UP_AFTER
    when = {"failing_since": began, "now": NOW, "chance": chance}
    again = next_attempt(failures, **when, not_before=NOW + more)  # type: ignore[arg-type] # as it says
    if end <= NOW:
        assert again is None
        return
    assert again is not None
    assert NOW < again <= end
    assert again >= min(NOW + more, end)
    assert again >= min(NOW + int(FIRST_DELAY * (1 - JITTER)), end)


def test_those_that_failed_together_are_tried_apart() -> None:
    first, last = (
        next_attempt(5, failing_since=NOW, now=NOW, chance=chance) for chance in (0.0, 1.0)
    )
    assert first is not None
    assert last is not None
    assert last - first == FIRST_DELAY * 2**4 // 2


@pytest.mark.parametrize(
    ("said", "until"),
    [
        (None, 0),
        ("120", NOW + 2 * MINUTE),
        (" 0 ", NOW),
        ("9" * 30, NOW + GIVEN_UP_AFTER),
        ("-1", 0),
        ("1.5", 0),
        ("soon", 0),
        ("", 0),
        ("٣", 0),
        (email.utils.formatdate(1_800_000_060, usegmt=True), NOW + MINUTE),
        (email.utils.formatdate(1_800_000_060), NOW + MINUTE),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799 * SECOND),
        ("Fri, 99 Dec 2026 23:59:59 GMT", 0),
    ],
)
def test_seconds_and_dates_are_understood_and_nothing_else(said: str | None, until: int) -> None:
    assert asked_for(said, now=NOW) == until


@given(st.text())
def test_no_header_is_too_strange(text: str) -> None:
    asked_for(text, now=NOW)
