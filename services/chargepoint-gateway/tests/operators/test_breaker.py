"""The circuit breaker as values."""

from __future__ import annotations

from chargekey_gateway.operators.breaker import (
    CLOSED,
    LONGEST,
    MOST,
    SHORTEST,
    Breaker,
    abandoned,
    asking,
    failed,
    put_off,
    succeeded,
)

NOW = 1_000


def failing(breaker: Breaker, times: int, now: int = NOW) -> Breaker:
    for _ in range(times):
        breaker = failed(breaker, now, probe=False)
    return breaker


OPEN = failing(CLOSED, MOST)


def test_it_opens_after_so_many_failures_in_a_row_and_one_answer_begins_anew() -> None:
    almost = failing(CLOSED, MOST - 1)
    assert almost.closed
    assert asking(almost, NOW) is almost
    assert failing(succeeded(almost), MOST - 1).closed
    assert not OPEN.closed
    assert asking(OPEN, NOW) is None
    assert asking(OPEN, NOW + SHORTEST - 1) is None


def test_after_the_pause_one_question_is_let_through_and_no_other() -> None:
    probing = asking(OPEN, NOW + SHORTEST)
    assert probing is not None
    assert asking(probing, NOW + 10 * LONGEST) is None
    assert succeeded(probing) == CLOSED


def test_pauses_double_up_to_the_longest_and_are_short_again_after_an_answer() -> None:
    breaker, now, pauses = OPEN, NOW, []
    for _ in range(12):
        pauses.append(breaker.until - now)
        now = breaker.until
        assert asking(breaker, now - 1) is None
        probing = asking(breaker, now)
        assert probing is not None
        breaker = failed(probing, now, probe=True)
    second = SHORTEST
    assert pauses[:7] == [second * each for each in (1, 2, 4, 8, 16, 32, 60)]
    assert set(pauses[6:]) == {LONGEST}
    assert failing(succeeded(breaker), MOST, now).until == now + SHORTEST


def test_questions_asked_before_it_opened_make_the_pause_no_longer() -> None:
    assert failing(OPEN, 3, NOW + 5) == OPEN
    probing = asking(OPEN, OPEN.until)
    assert probing is not None
    assert failed(probing, OPEN.until, probe=False) == probing


def test_their_answers_close_it() -> None:
    assert succeeded(OPEN) == CLOSED


def test_who_asks_for_patience_gets_it_within_bounds_and_has_not_failed() -> None:
    almost = failing(CLOSED, MOST - 1)
    for pause, granted in [(-5, SHORTEST), (7 * SHORTEST, 7 * SHORTEST), (10**18, LONGEST)]:
        breaker = put_off(almost, NOW, pause, probe=False)
        assert asking(breaker, NOW + granted - 1) is None
        probing = asking(breaker, NOW + granted)
        assert probing is not None
        assert asking(probing, NOW + granted) is None
        assert succeeded(probing) == CLOSED
        # Asked for patience again, it is tried again after it.
        again = put_off(probing, NOW + granted, SHORTEST, probe=True)
        assert asking(again, NOW + granted + SHORTEST) is not None


def test_patience_asked_for_before_it_opened_shortens_no_pause_and_ends_no_probe() -> None:
    long = put_off(CLOSED, NOW, LONGEST, probe=False)
    assert put_off(long, NOW, SHORTEST, probe=False).until == NOW + LONGEST
    probing = asking(long, NOW + LONGEST)
    assert probing is not None
    late = put_off(probing, NOW + LONGEST, SHORTEST, probe=False)
    assert asking(late, NOW + 10 * LONGEST) is None


def test_a_probe_that_nobody_waits_for_any_more_lets_the_next_one_through() -> None:
    probing = asking(OPEN, OPEN.until)
    assert probing is not None
    assert asking(abandoned(probing, probe=True), OPEN.until) is not None
    assert abandoned(probing, probe=False) == probing
    assert abandoned(failing(CLOSED, 2), probe=False) == failing(CLOSED, 2)
