"""What the gateway counts; names and labels are for ever, chargers are never labels."""

from __future__ import annotations

import functools
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
OPERATOR_ANSWERS = Counter(
    "operator_answers_total", "What came of asking operators who may charge.", ["result"]
)
CONNECTIONS = Gauge("ocpp_connections", "Chargers with an open connection.", ["version"])
PROTOCOL_ERRORS = Counter(
    "ocpp_protocol_errors_total", "Chargers refused, and connections closed, by why.", ["kind"]
)
CERTIFICATE_EXPIRY = Gauge(
    "tls_cert_expiry_seconds",
    "When the certificate that chargers are shown expires, in seconds since the epoch.",
)
_MESSAGES = Counter("ocpp_messages_total", "Calls of chargers.", ["action", "result"])


@functools.cache
def count_call(action: str, result: str) -> Callable[[], None]:
    """Return what counts a call of a known action: `taken`, `refused` or, taken, `failed`."""
    count: Callable[[], None] = _MESSAGES.labels(action, result).inc
    return count
