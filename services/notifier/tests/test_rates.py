"""How often somebody may ask: so often in a window, each for himself, in bounded memory."""

from __future__ import annotations

import pytest

from chargekey_notifier import rates
from chargekey_notifier.errors import TooManyRequestsError
from chargekey_notifier.rates import Rates


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_window_begins_with_the_first_and_ends_for_all_at_once() -> None:
    clock = Clock()
    counted = Rates(most=2, within=60, clock=clock)
    counted.spend("volt")
    clock.now += 59.5
    counted.spend("volt")
    counted.spend("watt")
    with pytest.raises(TooManyRequestsError, match="in 1 second\\.") as refused:
        counted.spend("volt")
    assert refused.value.seconds == 1
    counted.spend("watt")
    clock.now += 0.5
    for _ in range(2):
        counted.spend("volt")
    with pytest.raises(TooManyRequestsError, match="in 60 seconds\\."):
        counted.spend("volt")


def test_made_up_names_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_KEYS", 10)
    counted = Rates(most=1, within=60, clock=Clock())
    for number in range(1000):
        counted.spend(f"10.0.{number // 250}.{number % 250}")
    assert len(counted._counted) <= 10  # noqa: SLF001 - nobody else is told
