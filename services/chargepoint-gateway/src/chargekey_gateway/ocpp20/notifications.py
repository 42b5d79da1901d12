"""Notifications that are taken note of: firmware, logs, limits, reports, security events."""

from __future__ import annotations

import msgspec

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import Acknowledged, SecurityEventNotification


def acknowledge(_peer: Peer, _request: msgspec.Struct) -> Acknowledged:
    """Acknowledge."""
    return Acknowledged()


def security_event(peer: Peer, request: SecurityEventNotification) -> Acknowledged:
    """Tell of it; `techInfo` may hold anything and is told to nobody."""
    peer.gateway.reports.security_event(peer.charger, request.type, seen_by="CHARGER")
    return Acknowledged()
