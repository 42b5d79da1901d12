"""Measure, print a table, keep the results, and write what follows from them.

`python -m benchmarks [name ...]`. One that fails keeps its earlier results, and the others go on;
then the exit status is 1.
"""

from __future__ import annotations

import sys
import traceback

from benchmarks import capacity, picture, results, table
from benchmarks.apart import apart, figures_of
from benchmarks.needs import FigureMissingError

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
    "several_gateways",
    "grpc_authorize",
    "commands",
    "bus_room",
    "store_room",
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
    failed: list[str] = []
    for name in wanted:
        try:
            figures = apart(figures_of, name)
        except Exception:  # noqa: BLE001 - whatever it was, the others have nothing to do with it
            traceback.print_exc()
            failed.append(name)
            continue
        for figure in figures:
            print(table.row(figure), flush=True)  # noqa: T201
        latest = results.keep(BENCHMARKS, name, figures)
        picture.draw(latest, results.LATEST.with_suffix(".svg"))
        results.LATEST.with_suffix(".md").write_text(table.page(latest))
    try:
        capacity.PAGE.write_text(capacity.page(results.latest()))
    except FigureMissingError as error:
        print(f"docs/capacity.md stays as it is. {error}")  # noqa: T201
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}. What was measured there before is kept.")


if __name__ == "__main__":
    main()
