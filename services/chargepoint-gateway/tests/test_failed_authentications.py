"""Failed authentications as values: who is counted with whom, and what is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from chargekey_gateway.api.failed_authentications import (
    CAPACITY,
    FailedAuthentications,
    Failure,
)

ONE_MORE, FIRST, TOO_MANY = Failure.ONE_MORE, Failure.FIRST_TO_REACH_THE_LIMIT, Failure.TOO_MANY
WINDOW = 60.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(clock: Clock) -> Callable[..., FailedAuthentications]:
    def make(per_identity: int = 2, per_address: int = 0) -> FailedAuthentications:
        return FailedAuthentications(
            per_identity=per_identity, per_address=per_address, window=WINDOW, clock=clock
        )

    return make


def test_so_many_are_answered_and_the_one_that_reaches_the_limit_is_told(
    made: Callable[..., FailedAuthentications], clock: Clock
) -> None:
    failures = made()
    assert [failures.failed("c1", "192.0.2.1") for _ in range(4)] == [
        ONE_MORE,
        FIRST,
        TOO_MANY,
        TOO_MANY,
    ]
    clock.now += WINDOW
    assert [failures.failed("c1", "192.0.2.1") for _ in range(3)] == [ONE_MORE, FIRST, TOO_MANY]


def test_another_charger_and_another_address_have_their_own(
    made: Callable[..., FailedAuthentications],
) -> None:
    failures = made(1)
    assert failures.failed("c1", "192.0.2.1") is FIRST
    assert failures.failed("c2", "192.0.2.1") is FIRST
    # Of the charger it is told once, from however many addresses it fails.
    assert failures.failed("c1", "192.0.2.2") is ONE_MORE
    assert failures.failed("c1", "192.0.2.2") is TOO_MANY


def test_chargers_that_do_not_exist_are_one_and_nothing_is_told_of_them(
    made: Callable[..., FailedAuthentications],
) -> None:
    failures = made()
    found = [failures.failed(None, "192.0.2.1") for _ in range(3)]
    assert found == [ONE_MORE, ONE_MORE, TOO_MANY]
    assert failures.failed(None, "192.0.2.2") is ONE_MORE
    assert failures.failed("c1", "192.0.2.1") is ONE_MORE


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "nonsense", True),
    ],
)
def test_of_ipv6_a_network_counts_as_an_address(
    made: Callable[..., FailedAuthentications], one: str, other: str, same: bool
) -> None:
    failures = made(1)
    failures.failed("c1", one)
    assert (failures.failed("c1", other) is TOO_MANY) is same


def test_an_address_is_limited_whatever_it_tries_where_that_is_set(
    made: Callable[..., FailedAuthentications],
) -> None:
    failures = made(0, 3)
    found = [failures.failed(name, "192.0.2.1") for name in ("c1", None, "c2", "c3")]
    assert found == [ONE_MORE, ONE_MORE, FIRST, TOO_MANY]
    assert failures.failed("c1", "192.0.2.2") is ONE_MORE


def test_without_limits_nothing_is_too_much(made: Callable[..., FailedAuthentications]) -> None:
    failures = made(0, 0)
    assert {failures.failed("c1", "192.0.2.1") for _ in range(100)} == {ONE_MORE}


def test_of_more_than_fit_the_first_is_forgotten(
    made: Callable[..., FailedAuthentications],
) -> None:
    failures = made(1)
    names = (f"2001:db8:{number // 65536:x}:{number % 65536:x}::1" for number in range(CAPACITY))
    assert failures.failed("c1", "192.0.2.1") is FIRST
    assert Counter(failures.failed(None, name) for name in names) == {ONE_MORE: CAPACITY}
    assert failures.failed("c1", "192.0.2.1") is FIRST
