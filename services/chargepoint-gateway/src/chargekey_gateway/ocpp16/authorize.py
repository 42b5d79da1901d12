"""Authorize: somebody presents an idTag."""

from __future__ import annotations

import msgspec

from chargekey_gateway.decision import Decision
from chargekey_gateway.ocpp.dialect import Later, Peer, once_decided
from chargekey_gateway.ocpp16.id_tag_info import id_tag_info
from chargekey_gateway.ocpp16.messages import Authorize, AuthorizeResponse


def answer(peer: Peer, request: Authorize) -> AuthorizeResponse | Later[AuthorizeResponse]:
    """Answer from memory (§4.1), or what the operator of the site says."""
    return once_decided(peer.gateway.deciding.authorize(peer.charger, request.id_tag), _response)


def _response(decision: Decision) -> AuthorizeResponse:
    info = id_tag_info(decision)
    if info.status == "ConcurrentTx":
        # §7.2: ConcurrentTx is an answer to StartTransaction only. It is the last thing a
        # decision looks at, so the idTag is good; who charges taps to stop.
        info = msgspec.structs.replace(info, status="Accepted")
    return AuthorizeResponse(id_tag_info=info)
