"""PullDynamicScheduleUpdate: what the limits of a charging profile are now."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp21.messages import (
    PullDynamicScheduleUpdate,
    PullDynamicScheduleUpdateResponse,
)


def answer(_peer: Peer, _request: PullDynamicScheduleUpdate) -> PullDynamicScheduleUpdateResponse:
    """Reject: no dynamic profile comes from here."""
    return PullDynamicScheduleUpdateResponse(status="Rejected")
