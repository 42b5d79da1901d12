"""MeterValues: what is measured outside transactions; those of one come with its events."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import Acknowledged, MeterValues


def answer(_peer: Peer, _request: MeterValues) -> Acknowledged:
    """Acknowledge (J01)."""
    return Acknowledged()
