"""What is measured, as values: machines are noisy, so what counts is a ratio in one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

ROUNDS = 5


class Goal(msgspec.Struct, frozen=True):
    """What the ratio should be; the figure itself, where there is no floor or peer."""

    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"

    def met_by(self, value: float) -> bool:
        """Whether `value` is good enough."""
        return value <= self.bound if self.sign == "<=" else value >= self.bound


def at_most(bound: float) -> Goal:
    """Return the goal of what should be small."""
    return Goal("<=", bound)


def at_least(bound: float) -> Goal:
    """Return the goal of what should be large."""
    return Goal(">=", bound)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table. `figure` and `floor_or_peer` are medians, both in `unit`.

    `ratio` is the median of the rounds' own ratios of the two; `min` and `max` are the range of
    these. Without `floor_or_peer` they are the range of the figure. `against` says what the
    floor or peer is, or how a figure without one was measured. `benchmark` is its module's name.
    """

    name: str
    figure: float
    unit: str
    floor_or_peer: float | None
    against: str
    ratio: float | None
    goal: str | None
    met: bool | None
    rounds: int
    min: float
    max: float
    benchmark: str = ""


def compared(
    name: str,
    rounds: Sequence[tuple[float, float]],
    *,
    unit: str,
    against: str,
    goal: Goal | None = None,
) -> Figure:
    """Return the figure of `rounds`, each what was measured and its floor or peer beside it."""
    ratios = [figure / floor for figure, floor in rounds]
    ratio = statistics.median(ratios)
    return Figure(
        name=name,
        figure=statistics.median(figure for figure, _ in rounds),
        unit=unit,
        floor_or_peer=statistics.median(floor for _, floor in rounds),
        against=against,
        ratio=ratio,
        goal=None if goal is None else str(goal),
        met=None if goal is None else goal.met_by(ratio),
        rounds=len(rounds),
        min=min(ratios),
        max=max(ratios),
    )


def alone(
    name: str, rounds: Sequence[float], *, unit: str, against: str = "", goal: Goal | None = None
) -> Figure:
    """Return the figure of `rounds` that have no floor and no peer."""
    figure = statistics.median(rounds)
    return Figure(
        name=name,
        figure=figure,
        unit=unit,
        floor_or_peer=None,
        against=against,
        ratio=None,
        goal=None if goal is None else str(goal),
        met=None if goal is None else goal.met_by(figure),
        rounds=len(rounds),
        min=min(rounds),
        max=max(rounds),
    )


def in_turn(
    figure: Callable[[], float], floor: Callable[[], float], *, rounds: int = ROUNDS
) -> Sequence[tuple[float, float]]:
    """Measure both in every round, first the one and then the other by turns.

    What is measured second finds warmer caches, or a tired machine.
    """
    measured = []
    for number in range(rounds):
        if number % 2:
            beside = floor()
            measured.append((figure(), beside))
        else:
            measured.append((figure(), floor()))
    return measured
