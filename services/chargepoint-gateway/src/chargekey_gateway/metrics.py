"""What the gateway counts; names and labels are for ever, chargers are never labels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import Counter, Gauge
from prometheus_client.core import REGISTRY, CounterMetricFamily
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
        self._name, self._about, self._labels = name, about, labels
        self._counts: dict[tuple[str, ...], _Count] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> Callable[[], None]:
        """Return what counts those of these labels."""
        return self._counts.setdefault(values, _Count()).more

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Tell of all; what the registry calls, from whatever thread."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for values, count in tuple(self._counts.items()):
            family.add_metric(values, count.value)
        yield family


_DECISIONS = _Counts(
    "authorize_decisions_total", "Answers to Authorize at chargers.", ["decision", "reason"]
)
# Looked up once: a tap pays for an increment, not for finding its label values.
COUNT_DECISION: Mapping[Reason, Callable[[], None]] = {
    reason: _DECISIONS.labels(status, reason) for reason, status in OCPP16_STATUS.items()
}
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
CERTIFICATE_EXPIRY = Gauge(
    "tls_cert_expiry_seconds",
    "When the certificate that chargers are shown expires, in seconds since the epoch.",
)
VIEW_STALENESS = Gauge(
    "view_staleness_seconds", "Since when the view is not known to hold all that was published."
)
VIEW_LAG = Gauge(
    "view_lag_events", "Events that the stream was last known to be ahead of the view.", ["service"]
)
_MESSAGES = _Counts("ocpp_messages_total", "Calls of chargers.", ["action", "result"])


@functools.cache
def count_call(action: str, result: str) -> Callable[[], None]:
    """Return what counts a call of a known action: `taken`, `refused` or, taken, `failed`."""
    return _MESSAGES.labels(action, result)
