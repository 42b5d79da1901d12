"""MeterValues: what flows while a session runs."""

from __future__ import annotations

from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp16.messages import Acknowledged, MeterValues


def answer(_connection: ChargerConnection, _request: MeterValues) -> Acknowledged:
    """Acknowledge, also what no transaction is known of (§4.7): a refusal is only sent again."""
    return Acknowledged()
