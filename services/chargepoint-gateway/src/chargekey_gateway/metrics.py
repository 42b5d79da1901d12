"""What the gateway counts; names and labels are for ever, chargers are never labels."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import REGISTRY, CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from chargekey_gateway.decision import OCPP16_STATUS, Reason


class _Count:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def more(self) -> None:
        self.value += 1


class _Counts(Collector):
    """A Counter of one thread: the usual one's lock costs a tap as much as its decision."""

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self._name, self._about, self._labelnames = name, about, tuple(labels)
        self._counts: dict[tuple[str, ...], _Count] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> Callable[[], None]:
        """Return what counts those of these labels."""
        return self._counts.setdefault(values, _Count()).more

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Tell of all; what the registry calls, from whatever thread."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labelnames)
        for values, count in tuple(self._counts.items()):
            family.add_metric(values, count.value)
        yield family


class _Durations:
    """How often something took how long; `add` is of one thread, too, and costs as little."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def told(self) -> tuple[list[tuple[str, float]], float]:
        """Return how many took no longer than each bound, and all of them together."""
        bounds = (*map(str, self._bounds), "+Inf")
        return list(zip(bounds, accumulate(self._counts), strict=True)), self._sum


class _Histogram(Collector):
    """A Histogram of one thread, as _Counts is a Counter of one."""

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._about, self._labelnames = name, about, (label,)
        self._bounds = bounds
        self._durations: dict[str, _Durations] = {}
        REGISTRY.register(self)

    def label(self, value: str) -> Callable[[float], None]:
        """Return what takes the durations, in seconds, of this label."""
        return self._durations.setdefault(value, _Durations(self._bounds)).add

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Tell of all; what the registry calls, from whatever thread."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labelnames)
        for value, durations in tuple(self._durations.items()):
            family.add_metric([value], *durations.told())
        yield family


_DECISIONS = _Counts(
    "authorize_decisions_total", "Answers to Authorize at chargers.", ["decision", "reason"]
)
# Looked up once: a tap pays for an increment, not for finding its label values.
COUNT_DECISION: Mapping[Reason, Callable[[], None]] = {
    reason: _DECISIONS.labels(status, reason) for reason, status in OCPP16_STATUS.items()
}
_AUTHORIZED_IN = _Histogram(
    "authorize_duration_seconds",
    "From an Authorize that is read to its answer, by who decided.",
    "decided_by",
    (
        *(10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6),
        *(1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 200e-3, 500e-3),
        *(1.0, 2.0, 5.0, 10.0),
    ),
)
DECIDED_HERE_IN = _AUTHORIZED_IN.label("gateway")
DECIDED_BY_OPERATOR_IN = _AUTHORIZED_IN.label("operator")
OPERATOR_ANSWERS = Counter(
    "operator_answers_total", "What came of asking operators who may charge.", ["result"]
)
CONNECTIONS = Gauge("ocpp_connections", "Chargers with an open connection.", ["version"])
PROTOCOL_ERRORS = Counter(
    "ocpp_protocol_errors_total", "Chargers refused, and connections closed, by why.", ["kind"]
)
ANNOUNCEMENTS_DROPPED = Counter(
    "announcements_dropped_total", "Events that nobody waits for and nobody was told.", ["why"]
)
VIEW_STALENESS = Gauge(
    "view_staleness_seconds", "Since when the view is not known to hold all that was published."
)
VIEW_LAG = Gauge(
    "view_lag_events", "Events that the stream was last known to be ahead of the view.", ["service"]
)
_CLOCK_SKEW = Histogram(
    "charger_clock_skew_seconds",
    "How far chargers' clocks were from the server's when they told of a status: ahead of it, or"
    " behind, as one also seems that tells late.",
    ["direction"],
    buckets=(1, 5, 30, 60, 300, 3600, 86400),
)
_SKEWS: Mapping[Literal["ahead", "behind"], Histogram] = {
    "ahead": _CLOCK_SKEW.labels("ahead"),
    "behind": _CLOCK_SKEW.labels("behind"),
}
_MESSAGES = _Counts("ocpp_messages_total", "Calls of chargers.", ["action", "result"])


@functools.cache
def count_call(action: str, result: str) -> Callable[[], None]:
    """Return what counts a call of a known action: `taken`, `refused` or, taken, `failed`."""
    return _MESSAGES.labels(action, result)


def tell_clock_skew(seconds: float) -> None:
    """Count how far a charger's clock is ahead of the server's, or by less than 0 behind it."""
    _SKEWS["ahead" if seconds > 0 else "behind"].observe(abs(seconds))
