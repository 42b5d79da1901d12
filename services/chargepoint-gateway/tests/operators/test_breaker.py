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


def test_a_probe_that_nobody_waits_for_any_more_lets_the_next_one_through() -> None:
    probing = asking(OPEN, OPEN.until)
    assert probing is not None
    assert asking(abandoned(probing, probe=True), OPEN.until) is not None
    assert abandoned(probing, probe=False) == probing
    assert abandoned(failing(CLOSED, 2), probe=False) == failing(CLOSED, 2)
