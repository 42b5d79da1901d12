"""Measure, print a table, and keep the results: `python -m benchmarks [name ...]`."""

from __future__ import annotations

import sys

from benchmarks import picture, results, table
from benchmarks.apart import apart, figures_of

# In the order of the path: from the memory outwards to many processes.
BENCHMARKS = (
    "decision",
    "growth",
    "engines",
    "view_memory",
    "waits",
    "busy_view",
    "cold_start",
    "ocpp_authorize",
    "ocpp_connections",
    "grpc_authorize",
    "commands",
    "enforced",
    "revocation",
)


def main() -> None:
    """Measure what the command line names, or everything."""
    wanted = sys.argv[1:] or BENCHMARKS
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"There is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    print(table.HEADINGS)  # noqa: T201
    for name in wanted:
        figures = apart(figures_of, name)
        for figure in figures:
            print(table.row(figure), flush=True)  # noqa: T201
        latest = results.keep(BENCHMARKS, name, figures)
        picture.draw(latest, results.LATEST.with_suffix(".svg"))
        results.LATEST.with_suffix(".md").write_text(table.page(latest))


if __name__ == "__main__":
    main()
