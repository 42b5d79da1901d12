"""DataTransfer: a vendor's own message."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import DataTransfer, DataTransferResponse


def answer(_peer: Peer, _request: DataTransfer) -> DataTransferResponse:
    """Know no vendor (P02)."""
    return DataTransferResponse(status="UnknownVendorId")
