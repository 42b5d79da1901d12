"""VatNumberValidation: whether this is the number of a company."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp21.messages import VatNumberValidation, VatNumberValidationResponse


def answer(_peer: Peer, request: VatNumberValidation) -> VatNumberValidationResponse:
    """Reject: nobody here knows companies."""
    return VatNumberValidationResponse(
        status="Rejected", vat_number=request.vat_number, evse_id=request.evse_id
    )
