"""MeterValues: what flows while a session runs."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import Acknowledged, MeterValues


def answer(_peer: Peer, _request: MeterValues) -> Acknowledged:
    """Acknowledge, also what no transaction is known of (§4.7): a refusal is only sent again."""
    return Acknowledged()
