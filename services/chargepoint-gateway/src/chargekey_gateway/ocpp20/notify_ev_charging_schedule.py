"""NotifyEVChargingSchedule: how a vehicle is going to charge."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import (
    NotifyEVChargingSchedule,
    NotifyEVChargingScheduleResponse,
)


def answer(_peer: Peer, _request: NotifyEVChargingSchedule) -> NotifyEVChargingScheduleResponse:
    """Take note; there is nothing to hold it against (K15)."""
    return NotifyEVChargingScheduleResponse(status="Accepted")
