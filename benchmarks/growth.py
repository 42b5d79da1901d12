"""What a decision costs where more is known, beside what a bare `dict.get` costs there."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.apart import apart
from benchmarks.decision import taken_by_a_decision
from benchmarks.figures import ROUNDS, Figure, at_most, compared
from benchmarks.population import Population

FEW = Population.of(10_000)


def figures() -> Iterator[Figure]:
    """Measure how much dearer both get from few to many."""
    grown = {
        "10 k to 1 M identifications": Population.of(1_000_000),
        "1 k to 10 k chargers": Population.of(10_000, chargers=10_000),
    }
    for what, many in grown.items():
        rounds = []
        for _ in range(ROUNDS):
            before, bare_before = apart(taken_by_a_decision, FEW)
            after, bare_after = apart(taken_by_a_decision, many)
            rounds.append((after / before, bare_after / bare_before))
        yield compared(
            f"a decision's growth, {what}",
            rounds,
            unit="x",
            against="dict.get's growth",
            goal=at_most(1),
        )
