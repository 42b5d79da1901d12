"""The figures that have a goal, in one picture: how far each is from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.figures import Figure

_MET, _MISSED = "#1b7f5c", "#b3261e"
_ROW = 0.32  # inches


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Draw each figure's distance to its goal, and its range: left of the line it is met."""
    # Of what must not happen at all there is no distance.
    shown = [each for each in reversed(figures) if each.goal not in (None, "<= 0")]
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "chargekey"  # the same figures make the same file
    size = (11, 1.2 + _ROW * len(shown))
    canvas, axes = plt.subplots(figsize=size, layout="constrained")
    for place, each in enumerate(shown):
        first, middle, last = sorted(_distances(each))
        colour = _MET if each.met else _MISSED
        axes.plot([first, last], [place, place], color=colour, alpha=0.4, linewidth=3)
        axes.plot([middle], [place], "o", color=colour)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5], ["10x better", "5x", "2x", "goal", "2x worse", "5x"])
    axes.set_yticks(range(len(shown)), [f"{each.name} ({_said(each)})" for each in shown])
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_title("Medians and ranges of all rounds, beside their goals")
    canvas.savefig(file, metadata={"Date": None})
    plt.close(canvas)


def _distances(figure: Figure) -> tuple[float, float, float]:
    """Return minimum, median and maximum as parts of the goal: above 1 is worse."""
    sign, _, bound = str(figure.goal).partition(" ")
    goal = float(bound)
    measured = figure.figure if figure.ratio is None else figure.ratio
    low, high = (max(each, goal / 1000, 1e-9) for each in (figure.min, figure.max))
    if sign == "<=":
        return low / goal, measured / goal, high / goal
    return goal / high, goal / measured, goal / low


def _said(figure: Figure) -> str:
    measured = figure.figure if figure.ratio is None else figure.ratio
    return f"{measured:.3g}, goal {figure.goal}"
