"""What a fleet has seen so far: counts, times, and promises that were not kept."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from chargekey_stack.simulator.observer import Observer

# The actions somebody waits for, and what each is called here; 2.x has one for all of a start.
TIMED = {"Authorize": "authorize", "StartTransaction": "start", "TransactionEvent": "start"}
PERCENTILES = (50, 95, 99, 100)
# Of broken promises, so many are told word by word.
MOST_TOLD = 5


class Times(msgspec.Struct, frozen=True):
    """How long something took, in milliseconds: half of all at most `p50`, and so on."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        """Sum up what took so many seconds each."""
        ordered = sorted(seconds)

        def at(percent: int) -> float:
            if not ordered:
                return 0.0
            return round(ordered[math.ceil(len(ordered) * percent / 100) - 1] * 1000, 1)

        return cls(len(ordered), *map(at, PERCENTILES))


class Snapshot(msgspec.Struct, frozen=True):
    """All of it at one moment. `taps` by status and reason, as in `Blocked (user_blocked)`."""

    seconds: float
    chargers: int
    connected: int
    charging: int
    sessions: int
    reconnects: int
    taps: Mapping[str, int]
    times: Mapping[str, Times]
    errors: Mapping[str, int]
    broken: Sequence[str]


class Tally(Observer):
    """Is told by all chargers of a fleet."""

    def __init__(self, chargers: int) -> None:
        self.sessions = 0
        self.broken: list[str] = []
        self._chargers = chargers
        self._connected = 0
        self._reconnects = 0
        self._taps: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    def connected(self, *, again: bool) -> None:
        """Count a connection."""
        self._connected += 1
        self._reconnects += again

    def disconnected(self, why: str) -> None:  # noqa: ARG002 - one of hundreds
        """Count one less."""
        self._connected -= 1

    def answered(self, action: str, seconds: float, status: str) -> None:
        """Remember how long somebody had to wait, who got a word for it."""
        if status and action in TIMED:
            self._seconds[TIMED[action]].append(seconds)

    def failed(self, action: str, kind: str) -> None:
        """Count an error."""
        self._errors[f"{action}: {kind}"] += 1

    def tapped(self, status: str, reason: str = "") -> None:
        """Count somebody who presented something."""
        self._taps[f"{status} ({reason})" if reason else status] += 1

    def snapshot(self, *, seconds: float, charging: int) -> Snapshot:
        """Return all of it as it is now."""
        return Snapshot(
            seconds=round(seconds, 1),
            chargers=self._chargers,
            connected=self._connected,
            charging=charging,
            sessions=self.sessions,
            reconnects=self._reconnects,
            taps=dict(sorted(self._taps.items())),
            times={name: Times.of(each) for name, each in sorted(self._seconds.items())},
            errors=dict(sorted(self._errors.items())),
            broken=tuple(self.broken),
        )


def line(seen: Snapshot) -> str:
    """Return what goes on, on one line."""
    words = [
        f"{seen.seconds:6.1f} s",
        f"{seen.connected} of {seen.chargers} connected",
        f"{seen.charging} charging",
        f"{seen.sessions} sessions",
        f"{sum(seen.taps.values())} taps",
        *(f"{name} p95 {each.p95:g} ms" for name, each in seen.times.items()),
        f"{seen.reconnects} reconnects",
        f"{sum(seen.errors.values())} errors",
    ]
    return ", ".join([*words, *([f"{len(seen.broken)} BROKEN"] if seen.broken else [])])


def rows(seen: Snapshot) -> list[dict[str, str]]:
    """Return all of it as a table."""
    told = {
        "seconds": f"{seen.seconds:g}",
        "connected": f"{seen.connected} of {seen.chargers}",
        "charging": str(seen.charging),
        "sessions": str(seen.sessions),
        "reconnects": str(seen.reconnects),
        **{f"taps: {status}": str(count) for status, count in seen.taps.items()},
        **{
            f"{name} in ms": f"p50 {each.p50:g}, p95 {each.p95:g}, p99 {each.p99:g}, "
            f"longest {each.longest:g}, of {each.count}"
            for name, each in seen.times.items()
        },
        **{f"error: {what}": str(count) for what, count in seen.errors.items()},
        "not kept": str(len(seen.broken)),
    }
    return [{"field": name, "": value} for name, value in told.items()]


def verdict(broken: Sequence[str]) -> str:
    """Return what was not kept, in words."""
    rest = len(broken) - MOST_TOLD
    return " ".join([*broken[:MOST_TOLD], *([f"And {rest} more."] if rest > 0 else [])])
