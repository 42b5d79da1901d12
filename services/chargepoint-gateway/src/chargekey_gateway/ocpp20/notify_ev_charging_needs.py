"""NotifyEVChargingNeeds: a vehicle says what it needs."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import NotifyEVChargingNeeds, NotifyEVChargingNeedsResponse


def answer(_peer: Peer, _request: NotifyEVChargingNeeds) -> NotifyEVChargingNeedsResponse:
    """Reject: nobody here makes schedules, and the charger shall not wait for one (K15)."""
    return NotifyEVChargingNeedsResponse(status="Rejected")
