"""What the gateway counts; names and labels are for ever, chargers are never labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import Counter, Gauge

from chargekey_gateway.decision import OCPP16_STATUS, Reason

_DECISIONS = Counter(
    "authorize_decisions_total", "Answers to Authorize at chargers.", ["decision", "reason"]
)
# Looked up once: a tap pays for an increment, not for finding its label values.
COUNT_DECISION: Mapping[Reason, Callable[[], None]] = {
    reason: _DECISIONS.labels(status, reason).inc for reason, status in OCPP16_STATUS.items()
}
CONNECTIONS = Gauge("ocpp_connections", "Chargers with an open connection.", ["version"])
