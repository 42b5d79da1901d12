"""Figures as rows: on a terminal, and on a page beside the results."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.figures import Figure

_COLUMNS = "{:<64} {:>10} {:<4} {:>10} {:>7} {:>15} {:>8} {:>4}"
_NAMES = ("figure", "median", "unit", "floor/peer", "ratio", "range", "goal", "met?")
HEADINGS = _COLUMNS.format(*_NAMES)
_MET = {True: "yes", False: "NO", None: ""}
_LIBRARIES = ("msgspec", "uvloop", "picows", "nats-py", "grpcio", "eventsourcing", "psycopg")


def row(figure: Figure) -> str:
    """Return it as a line of a terminal."""
    return _COLUMNS.format(
        figure.name,
        _number(figure.figure),
        figure.unit,
        _number(figure.floor_or_peer),
        _number(figure.ratio),
        f"{_number(figure.min)}-{_number(figure.max)}",
        figure.goal or "",
        _MET[figure.met],
    )


def page(figures: Sequence[Figure]) -> str:
    """Return all of them as a page, with the machine that they were measured on."""
    lines = [
        "# The last results",
        "",
        "What each is, and what limits it: [performance](../../docs/performance.md). Medians; the",
        "range is that of the rounds' ratios, or of the figure where it has no floor and no peer.",
        "",
        f"{_machine()}",
        "",
        "| figure | median | floor or peer | ratio | range | goal | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in figures:
        beside = f"{_number(each.floor_or_peer)} ({each.against})" if each.against else ""
        cells = (
            each.name,
            f"{_number(each.figure)} {each.unit}",
            beside.strip(),
            _number(each.ratio),
            f"{_number(each.min)}–{_number(each.max)}",  # noqa: RUF001 - a range
            (each.goal or "").replace("<=", "≤").replace(">=", "≥"),
            _MET[each.met].lower(),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "![Distances to the goals](latest.svg)", ""])


def _machine() -> str:
    told = Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else ""
    models = [line.partition(": ")[2] for line in told.splitlines() if "model name" in line]
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    memory = round(psutil.virtual_memory().total / 2**30)
    return (
        f"{psutil.cpu_count()} cores ({models[0] if models else platform.machine()}), {memory} GiB,"
        f" {platform.system()}, Python {platform.python_version()}, {libraries}."
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10_000 else f"{value:.3g}"
