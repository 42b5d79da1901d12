"""DataTransfer: a vendor's own message."""

from __future__ import annotations

from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp16.messages import DataTransfer, DataTransferResponse


def answer(_connection: ChargerConnection, _request: DataTransfer) -> DataTransferResponse:
    """Know no vendor (§4.3)."""
    return DataTransferResponse(status="UnknownVendorId")
