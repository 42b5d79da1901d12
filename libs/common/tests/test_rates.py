"""How often somebody may ask: so often in a window, each for himself, in bounded memory."""

from __future__ import annotations

import pytest

from chargekey_common import rates
from chargekey_common.rates import Rates


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_window_begins_with_the_first_and_ends_for_all_at_once() -> None:
    clock = Clock()
    counted = Rates(most=2, within=60, clock=clock)
    assert counted.wait("volt") == 0
    clock.now += 59.5
    assert [counted.wait(key) for key in ("volt", "watt", "volt")] == [0, 0, 1]
    assert counted.wait("watt") == 0
    clock.now += 0.5
    assert [counted.wait("volt") for _ in range(3)] == [0, 0, 60]


def test_made_up_names_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_KEYS", 10)
    counted = Rates(most=1, within=60, clock=Clock())
    for number in range(1000):
        counted.wait(f"10.0.{number // 250}.{number % 250}")
    assert len(counted._counted) <= 10  # noqa: SLF001 - nobody else is told
