"""Heartbeat: the charger is there and wants to know the time."""

from __future__ import annotations

from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import Heartbeat, HeartbeatResponse


def answer(peer: Peer, _request: Heartbeat) -> HeartbeatResponse:
    """Tell the server's time (G02)."""
    return HeartbeatResponse(current_time=timestamps.write(peer.now()))
