"""Get15118EVCertificate: a vehicle wants a certificate of its contract."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import Get15118EVCertificate, Get15118EVCertificateResponse


def answer(_peer: Peer, _request: Get15118EVCertificate) -> Get15118EVCertificateResponse:
    """Have none for vehicles (M01, M02)."""
    return Get15118EVCertificateResponse(status="Failed", exi_response="")
