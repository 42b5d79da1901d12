"""Attempts counted on both databases, by one process or several at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from chargekey_common.attempts import Attempts, TooManyAttemptsError
from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_common.testing.tables import execute

SECOND = 10**9
ADDRESS = "ada@example.org"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


Opened = Callable[[], Attempts]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_attempts(place: Path | Postgres, clock: Clock) -> Iterator[Opened]:
    """Yield what opens the same tables as another replica does."""
    if isinstance(place, Postgres):
        Attempts.migrate(place)
        Attempts.migrate(place)
    with ExitStack() as closing:

        def open_one() -> Attempts:
            attempts = Attempts(place, clock=clock)
            closing.callback(attempts.close)
            return attempts

        yield open_one


@pytest.fixture
def attempts(open_attempts: Opened) -> Attempts:
    return open_attempts()


def spent(attempts: Attempts, key: str, *, most: int, within: float = 60) -> bool:
    try:
        attempts.spend(key, most=most, within=within)
    except TooManyAttemptsError:
        return False
    return True


def test_so_many_are_free_and_the_next_is_refused_until_the_time_is_over(
    attempts: Attempts, clock: Clock
) -> None:
    assert [spent(attempts, ADDRESS, most=3) for _ in range(5)] == [True] * 3 + [False] * 2
    assert spent(attempts, "another", most=3)
    clock.now += 60 * SECOND - 1
    assert not spent(attempts, ADDRESS, most=3)
    clock.now += 1
    assert [spent(attempts, ADDRESS, most=3) for _ in range(4)] == [True] * 3 + [False]


def test_what_is_given_back_is_not_counted_and_never_makes_room_for_more(
    attempts: Attempts, clock: Clock
) -> None:
    for _ in range(10):
        assert spent(attempts, ADDRESS, most=2)
        attempts.give_back(ADDRESS)
    attempts.give_back(ADDRESS)
    attempts.give_back("another")
    assert [spent(attempts, ADDRESS, most=2) for _ in range(3)] == [True, True, False]
    clock.now += 60 * SECOND
    assert [spent(attempts, ADDRESS, most=2) for _ in range(3)] == [True, True, False]


def test_what_was_counted_is_there_after_a_restart(open_attempts: Opened) -> None:
    first = open_attempts()
    assert spent(first, ADDRESS, most=1)
    first.close()
    assert not spent(open_attempts(), ADDRESS, most=1)


@pytest.mark.parametrize(
    ("within", "said"), [(60, "in 60 seconds."), (0.5, "in 1 second."), (600.5, "in 11 minutes.")]
)
def test_whoever_is_refused_is_told_when_to_try_again_and_nothing_else(
    attempts: Attempts, within: float, said: str
) -> None:
    attempts.spend(ADDRESS, most=1, within=within)
    with pytest.raises(TooManyAttemptsError) as refused:
        attempts.spend(ADDRESS, most=1, within=within)
    assert refused.value.code == "too_many_attempts"
    assert str(refused.value) == f"There were too many attempts; try again {said}"


def test_one_that_tells_an_earlier_time_than_the_one_before_is_counted_with_it(
    attempts: Attempts, clock: Clock
) -> None:
    """Of two at once either may come first to the table."""
    attempts.spend("key", most=1, within=60)
    clock.now -= 1
    with pytest.raises(TooManyAttemptsError):
        attempts.spend("key", most=1, within=60)


def test_nobody_waits_longer_because_the_clock_was_set_back(
    attempts: Attempts, clock: Clock
) -> None:
    assert spent(attempts, ADDRESS, most=1)
    clock.now -= 86_400 * SECOND
    assert spent(attempts, ADDRESS, most=1)
    assert not spent(attempts, ADDRESS, most=1)


def test_what_no_longer_counts_is_gone_from_the_tables(
    attempts: Attempts, clock: Clock, place: Path | Postgres
) -> None:
    for number in range(150):
        attempts.spend(str(number), most=1, within=60)
    clock.now += 60 * SECOND
    for key in ("a", "b"):
        attempts.spend(key, most=1, within=60)
    assert execute(place, "SELECT count(*) FROM attempts") == [(2,)]


def test_nobody_reads_what_was_counted_by_and_each_database_has_its_own_digests(
    attempts: Attempts, place: Path | Postgres, tmp_path: Path
) -> None:
    attempts.spend(ADDRESS, most=1, within=60)
    other = Attempts(tmp_path / "other.db")
    other.spend(ADDRESS, most=1, within=60)
    other.close()
    ours = execute(place, "SELECT digest FROM attempts")
    assert len(ours) == 1
    assert ours != execute(tmp_path / "other.db", "SELECT digest FROM attempts")
    assert all(ADDRESS.encode() not in file.read_bytes() for file in tmp_path.glob("*.db*"))


def test_many_at_once_in_several_replicas_are_not_more_than_the_limit(
    open_attempts: Opened,
) -> None:
    """Old rows, which every attempt wants to take away, make none of them wait for another."""
    replicas = [open_attempts() for _ in range(3)]
    for number in range(20):
        replicas[0].spend(f"old {number}", most=1, within=0)
    begin = threading.Barrier(6)

    def several(replica: Attempts) -> int:
        begin.wait()
        return sum(spent(replica, key, most=10) for _ in range(8) for key in ("one", "two"))

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(several, replicas * 2)) == 20


def test_without_the_database_nothing_is_free(attempts: Attempts) -> None:
    attempts.close()
    with pytest.raises(StoreUnavailableError):
        attempts.spend(ADDRESS, most=1, within=60)


def test_a_schema_without_tables_is_refused(postgres: Postgres) -> None:
    with pytest.raises(NotMigratedError):
        Attempts(postgres)
