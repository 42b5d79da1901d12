"""What a decision costs where more is known, beside what a bare `dict.get` costs there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks.decision import where_known
from benchmarks.figures import ROUNDS, Figure, at_most, compared
from benchmarks.population import Population

FEW = Population.of(10_000)

Measure = Callable[[], tuple[float, float]]


def figures() -> Iterator[Figure]:
    """Measure how much dearer both get from few to many."""
    grown = {
        "10 k to 1 M identifications": Population.of(1_000_000),
        "1 k to 10 k chargers": Population.of(10_000, chargers=10_000),
    }
    for what, many in grown.items():
        with _knowing(FEW) as few, _knowing(many) as more:
            yield compared(
                f"a decision's growth, {what}",
                [_growth(few, more) for _ in range(ROUNDS)],
                unit="x",
                against="dict.get's growth",
                goal=at_most(1),
            )


def _growth(few: Measure, more: Measure) -> tuple[float, float]:
    before, bare_before = few()
    after, bare_after = more()
    return after / before, bare_after / bare_before


@contextlib.contextmanager
def _knowing(population: Population) -> Iterator[Measure]:
    """Yield what measures both in a process that knows so much and nothing else."""
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=_know, initargs=(population,)
    ) as process:
        yield lambda: process.submit(_measured).result()


# In such a process: what measures there.
_here: list[Measure] = []


def _know(population: Population) -> None:
    _here.append(where_known(population))


def _measured() -> tuple[float, float]:
    return _here[0]()
