"""Wrong PINs counted, and the locks that follow: values in, values out (R14)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_gateway.guessing import (
    FORGOTTEN,
    LONGEST,
    NOTHING,
    SHORTEST,
    WINDOW,
    Lock,
    Tally,
    failed,
    merged,
    succeeded,
)

MINUTE = 60 * 10**9
NOON = 1_800_000_000 * 10**9
FIVE = 5


def after(*minutes: float, tally: Tally = NOTHING) -> Tally:
    """Return the tally after wrong PINs at these minutes behind noon."""
    for each in minutes:
        tally = failed(tally, NOON + round(each * MINUTE), FIVE)
    return tally


def test_the_fifth_wrong_pin_within_ten_minutes_locks_for_five() -> None:
    """R14."""
    assert after(0, 1, 2, 3).lock == Lock()
    tally = after(0, 1, 2, 3, 9.99)
    at = NOON + round(9.99 * MINUTE)
    assert tally == Tally(lock=Lock(until=at + 5 * MINUTE, since=at, number=1))
    assert not tally.locked(at - 1)
    assert tally.locked(at)
    assert tally.locked(at + 5 * MINUTE - 1)
    assert not tally.locked(at + 5 * MINUTE)


def test_five_within_more_than_ten_minutes_lock_nothing() -> None:
    assert after(0, 1, 2, 3, 10).lock == Lock()
    assert after(0, 1, 2, 3, 10, 10.5).lock.number == 1


def test_each_further_lock_is_twice_as_long_up_to_an_hour() -> None:
    """R14."""
    tally, at, lengths = NOTHING, NOON, []
    for _ in range(7):
        for _ in range(FIVE):
            at += 1
            tally = failed(tally, at, FIVE)
        lengths.append((tally.lock.until - tally.lock.since) // MINUTE)
        at = tally.lock.until
    assert lengths == [5, 10, 20, 40, 60, 60, 60]


def test_while_it_is_locked_nothing_counts() -> None:
    locked = after(0, 0, 0.1, 0.2, 0.3, 0.4)
    assert after(1, 2, 3, 4, 5, tally=locked) == locked
    assert after(5.4, tally=locked).failures == (NOON + round(5.4 * MINUTE),)


def test_a_success_begins_anew_with_the_count_and_with_the_length() -> None:
    """R14."""
    four = after(0, 1, 2, 3)
    assert succeeded(four, NOON + 4 * MINUTE, FIVE).failures == ()
    second = after(6, 6.1, 6.2, 6.3, 6.4, tally=after(0, 0.1, 0.2, 0.3, 0.4))
    assert second.lock.number == 2
    again = succeeded(second, second.lock.until, FIVE)
    third = after(20, 20.1, 20.2, 20.3, 20.4, tally=again)
    assert third.lock.number == 1


def test_a_success_opens_no_lock_that_runs() -> None:
    """Nothing is accepted under one; what is told late, was accepted before it."""
    locked = after(0, 0.1, 0.2, 0.3, 0.4)
    late = succeeded(locked, NOON + 1, FIVE)
    assert late.lock == locked.lock


def test_a_lock_of_yesterday_makes_todays_no_longer() -> None:
    locked = after(0, 0.1, 0.2, 0.3, 0.4)
    next_day = (locked.lock.until + FORGOTTEN - NOON) / MINUTE
    later = [next_day + each for each in (0, 0.1, 0.2, 0.3, 0.4)]
    assert after(*later, tally=locked).lock.number == 1
    assert after(*(each - 1 for each in later), tally=locked).lock.number == 2


def test_a_wrong_pin_told_twice_is_one() -> None:
    """R23: a start sent again."""
    assert after(0, 0, 1, 1, 2, 2, 3, 3).lock == Lock()


def test_what_two_replicas_counted_adds_up() -> None:
    assert merged(after(0, 1, 2), after(0.5, 1.5), FIVE).lock.number == 1


def test_what_is_over_says_nothing_any_more() -> None:
    locked = after(0, 0.1, 0.2, 0.3, 0.4)
    assert not locked.over(locked.lock.until + FORGOTTEN - 1)
    assert locked.over(locked.lock.until + FORGOTTEN)
    assert not after(0).over(NOON + WINDOW - 1)
    assert after(0).over(NOON + WINDOW)


times = st.integers(0, 4 * FORGOTTEN // 10) | st.integers(0, 3 * WINDOW)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    tally = NOTHING
    for at, right in draw(st.lists(st.tuples(times, st.sampled_from((False,) * 6 + (True,))))):
        tally = succeeded(tally, at, FIVE) if right else failed(tally, at, FIVE)
    return tally


@given(tallies(), tallies())
def test_two_tallies_become_the_same_one_in_either_order_and_once_for_all(
    one: Tally, other: Tally
) -> None:
    """So replicas that hear of each other agree, and go on writing to nobody."""
    both = merged(one, other, FIVE)
    assert both == merged(other, one, FIVE)
    assert both == merged(both, one, FIVE) == merged(both, other, FIVE) == merged(both, both, FIVE)
    assert len(both.failures) < FIVE


@given(st.lists(st.integers(1, 4 * MINUTE), max_size=80))
def test_nobody_tries_more_than_five_before_he_waits(pauses: Sequence[int]) -> None:
    """R14: as somebody guesses who never hits, against the rule spelled out plainly."""
    tally, at, wrong, opens, length = NOTHING, NOON, [], NOON, SHORTEST
    for pause in pauses:
        at += pause
        assert tally.locked(at) == (at < opens)
        if tally.locked(at):
            continue
        tally = failed(tally, at, FIVE)
        wrong = [each for each in wrong if each > at - WINDOW] + [at]
        if len(wrong) == FIVE:
            wrong, opens, length = [], at + length, min(2 * length, LONGEST)


@pytest.mark.parametrize("most", [5, 50])
def test_the_number_that_locks_is_the_one_that_is_asked_for(most: int) -> None:
    tally = NOTHING
    for number in range(1, most + 1):
        assert not tally.lock.number
        tally = failed(tally, NOON + number, most)
    assert tally.lock.number == 1
