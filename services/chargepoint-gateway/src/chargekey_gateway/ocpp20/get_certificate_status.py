"""GetCertificateStatus: whether a certificate is revoked."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.messages import GetCertificateStatus, GetCertificateStatusResponse


def answer(_peer: Peer, _request: GetCertificateStatus) -> GetCertificateStatusResponse:
    """Know of none (M06)."""
    return GetCertificateStatusResponse(status="Failed")
