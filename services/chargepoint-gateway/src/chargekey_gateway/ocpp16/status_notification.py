"""StatusNotification: a connector, or with number 0 the charger, is in another state."""

from __future__ import annotations

from chargekey_gateway.ocpp import clocks
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import Acknowledged, StatusNotification


def answer(peer: Peer, request: StatusNotification) -> Acknowledged:
    """Pass it on as it is (§4.9)."""
    if request.timestamp is not None:
        clocks.compare(peer.charger.id, request.timestamp, peer.now())
    peer.gateway.reports.connector_status(
        peer.charger,
        connector=request.connector_id,
        status=request.status,
        error_code=request.error_code,
    )
    return Acknowledged()
