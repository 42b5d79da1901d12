"""SignCertificate: a charger asks for a certificate of its own."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import SignCertificate, SignCertificateResponse


def answer(_peer: Peer, _request: SignCertificate) -> SignCertificateResponse:
    """Reject: there is no certificate authority here (A02)."""
    return SignCertificateResponse(status="Rejected")
