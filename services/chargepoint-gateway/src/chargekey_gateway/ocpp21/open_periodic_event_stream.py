"""OpenPeriodicEventStream: the charger offers to tell what it measures, unanswered."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp21.messages import (
    OpenPeriodicEventStream,
    OpenPeriodicEventStreamResponse,
)


def answer(_peer: Peer, _request: OpenPeriodicEventStream) -> OpenPeriodicEventStreamResponse:
    """Reject: nobody here listens, and so no SEND follows."""
    return OpenPeriodicEventStreamResponse(status="Rejected")
