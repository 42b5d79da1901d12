"""The results of the last runs: `results/latest.json`, and a picture of them beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import Figure

LATEST = Path(__file__).with_name("results") / "latest.json"


def latest() -> Sequence[Figure]:
    """Return what is kept: nothing at first."""
    return msgspec.json.decode(LATEST.read_bytes(), type=list[Figure]) if LATEST.exists() else []


def keep(benchmarks: Sequence[str], name: str, figures: Sequence[Figure]) -> Sequence[Figure]:
    """Put `figures` in place of those that the benchmark `name` had, and return all there are.

    In the order of `benchmarks`; what none of these measures any more is gone.
    """
    known = latest()
    by_benchmark = {each: [one for one in known if one.benchmark == each] for each in benchmarks}
    by_benchmark[name] = [msgspec.structs.replace(each, benchmark=name) for each in figures]
    kept = [figure for several in by_benchmark.values() for figure in several]
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
    return kept
