"""StatusNotification: a connector is in another state."""

from __future__ import annotations

from chargekey_gateway.ocpp import clocks
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import Acknowledged, StatusNotification


def answer(peer: Peer, request: StatusNotification) -> Acknowledged:
    """Pass it on (G01): sessions are an EVSE's, whichever of its plugs is in use."""
    clocks.compare(peer.charger.id, request.timestamp, peer.now())
    tell(peer, request.evse_id, request.connector_id, request.connector_status)
    return Acknowledged()


def tell(peer: Peer, evse: int, plug: int, status: str) -> None:
    """Tell the state of a plug of an EVSE, with 0 of the whole EVSE, with twice 0 of the charger.

    2.x has no error codes.
    """
    peer.gateway.reports.connector_status(
        peer.charger, connector=evse, plug=plug, status=status, error_code=""
    )
