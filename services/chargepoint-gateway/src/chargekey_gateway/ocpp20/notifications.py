"""Notifications that are taken note of: firmware, logs, limits, reports, security events."""

from __future__ import annotations

import msgspec
import structlog

from chargekey_common.published.chargers import SecurityEventReported
from chargekey_gateway.application.reports import of
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import Acknowledged, SecurityEventNotification

log = structlog.get_logger()


def acknowledge(_peer: Peer, _request: msgspec.Struct) -> Acknowledged:
    """Acknowledge."""
    return Acknowledged()


def security_event(peer: Peer, request: SecurityEventNotification) -> Acknowledged:
    """Tell of it; `techInfo` may hold anything and is told to nobody."""
    log.warning("charger_security_event", charger=peer.charger.id, kind=request.type)
    peer.gateway.reports.tell(
        SecurityEventReported(**of(peer.charger), kind=request.type, seen_by="CHARGER")
    )
    return Acknowledged()
