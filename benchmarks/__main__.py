"""Measure, print a table, and keep the results: `python -m benchmarks [name ...]`."""

from __future__ import annotations

import sys

from benchmarks import results
from benchmarks.apart import apart, figures_of
from benchmarks.figures import Figure

# In the order of the path: from the memory outwards to many processes.
BENCHMARKS = (
    "decision",
    "cold_start",
    "engines",
    "ocpp_authorize",
    "ocpp_connections",
    "grpc_authorize",
    "commands",
    "enforced",
    "revocation",
)
_COLUMNS = "{:<52} {:>11} {:<9} {:>11} {:>8} {:>15} {:>8} {:>4}"


def _row(figure: Figure) -> str:
    return _COLUMNS.format(
        figure.name,
        _number(figure.figure),
        figure.unit,
        "" if figure.floor_or_peer is None else _number(figure.floor_or_peer),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        f"{_number(figure.min)}-{_number(figure.max)}",
        figure.goal or "",
        {True: "yes", False: "NO", None: ""}[figure.met],
    )


def _number(value: float) -> str:
    if value >= 100_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def main() -> None:
    """Measure what the command line names, or everything."""
    wanted = sys.argv[1:] or BENCHMARKS
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"There is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    headings = ("figure", "median", "unit", "floor/peer", "ratio", "range", "goal", "met?")
    print(_COLUMNS.format(*headings))  # noqa: T201
    for name in wanted:
        figures = apart(figures_of, name)
        for figure in figures:
            print(_row(figure), flush=True)  # noqa: T201
        results.keep(BENCHMARKS, name, figures)


if __name__ == "__main__":
    main()
