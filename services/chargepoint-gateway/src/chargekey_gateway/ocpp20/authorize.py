"""Authorize: somebody presents a token."""

from __future__ import annotations

from functools import partial

import msgspec

from chargekey_gateway.decision import Decision
from chargekey_gateway.ocpp.dialect import Later, Peer, once_decided
from chargekey_gateway.ocpp20 import id_tokens
from chargekey_gateway.ocpp20.id_token_info import id_token_info
from chargekey_gateway.ocpp20.messages import Authorize, AuthorizeResponse


def answer(peer: Peer, request: Authorize) -> AuthorizeResponse | Later[AuthorizeResponse]:
    """Answer from memory (C01), or what the operator of the site says."""
    presented = id_tokens.read(request.id_token)
    decision = peer.gateway.deciding.authorize(
        peer.charger, presented.token, presented.announced, to_stop=True
    )
    return once_decided(decision, partial(_response, request))


def _response(request: Authorize, decision: Decision) -> AuthorizeResponse:
    info = id_token_info(decision, request.id_token)
    if info.status == "ConcurrentTx":
        # It is about transactions, and there is none yet. As the last thing a decision looks
        # at it says that the token is good; who charges taps to stop.
        info = msgspec.structs.replace(info, status="Accepted")
    certified = request.certificate is not None or request.iso15118_certificate_hash_data
    return AuthorizeResponse(
        id_token_info=info,
        # C07: no contract's certificate is checked here, so none is vouched for.
        certificate_status="NoCertificateAvailable" if certified else None,
    )
