"""Notifications that are taken note of: diagnostics, firmware, logs, security events."""

from __future__ import annotations

import msgspec
import structlog

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import Acknowledged, SecurityEventNotification

log = structlog.get_logger()


def acknowledge(_peer: Peer, _request: msgspec.Struct) -> Acknowledged:
    """Acknowledge."""
    return Acknowledged()


def security_event(peer: Peer, request: SecurityEventNotification) -> Acknowledged:
    """Acknowledge and log; `techInfo` may hold anything and stays out of the log."""
    log.warning("charger_security_event", charger=peer.charger.id, kind=request.type)
    return Acknowledged()
