"""GetCertificateChainStatus: whether certificates are revoked."""

from __future__ import annotations

from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp21.messages import (
    CertificateStatus,
    GetCertificateChainStatus,
    GetCertificateChainStatusResponse,
)


def answer(peer: Peer, request: GetCertificateChainStatus) -> GetCertificateChainStatusResponse:
    """Know of none: nobody is asked about them, and there is no later time that would be better."""
    now = timestamps.write(peer.now())
    return GetCertificateChainStatusResponse(
        certificate_status=tuple(
            CertificateStatus(
                certificate_hash_data=asked.certificate_hash_data,
                source=asked.source,
                status="Failed",
                next_update=now,
            )
            for asked in request.certificate_status_requests
        )
    )
