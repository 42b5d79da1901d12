"""SignCertificate: a charger asks for a certificate of its own."""

from __future__ import annotations

from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp16.messages import SignCertificate, SignCertificateResponse


def answer(_connection: ChargerConnection, _request: SignCertificate) -> SignCertificateResponse:
    """Reject: there is no certificate authority here."""
    return SignCertificateResponse(status="Rejected")
