"""What payment operators do by OCPI at the sites they manage, asked by the notifier."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from grpc import aio

from chargekey.gateway.v1 import operators_pb2 as pb
from chargekey.gateway.v1 import operators_pb2_grpc
from chargekey_common.grpc.server import Objects, Service
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.api.commands import Chargers, connector_of, have, stop
from chargekey_gateway.api.errors import MOST_TOKENS, ReferenceMalformedError, TokensMalformedError
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.command_errors import ConnectorMalformedError
from chargekey_gateway.commands import Unlock
from chargekey_gateway.operators.last_known import Whitelisted
from chargekey_gateway.operators.ocpi import LONGEST_UID

NAME = "chargekey.gateway.v1.OperatorService"
LONGEST_REFERENCE = 36  # CiString(36)
_WHITELISTS = frozenset({"", "ALWAYS", "ALLOWED", "ALLOWED_OFFLINE", "NEVER"})

Context = aio.ServicerContext[Any, Any]


class OperatorServicer(operators_pb2_grpc.OperatorServiceServicer):
    """Every method of operators.proto."""

    def __init__(self, gateway: Gateway, chargers: Chargers) -> None:
        self._operating = gateway.operating
        self._operators = gateway.operators
        self._chargers = chargers

    async def RememberTokens(
        self, request: pb.RememberTokensRequest, _: Context
    ) -> pb.RememberTokensResponse:
        if len(request.tokens) > MOST_TOKENS or not all(map(_is_token, request.tokens)):
            raise TokensMalformedError
        told = [(each.uid, _whitelisted(each)) for each in request.tokens]
        self._operators.remember_tokens(request.partner_id, told)
        return pb.RememberTokensResponse()

    async def AuthorizeForOperator(
        self, request: pb.AuthorizeForOperatorRequest, _: Context
    ) -> pb.AuthorizeForOperatorResponse:
        chargers = self._operating.chargers(
            request.partner_id, request.installation_id, request.charger_ids
        )
        verdict = self._operating.authorize(chargers, request.code)
        return pb.AuthorizeForOperatorResponse(
            allowed=verdict.allowed,
            charger_ids=verdict.charger_ids,
            identification_id=verdict.identification_id,
        )

    async def StartForOperator(
        self, request: pb.StartForOperatorRequest, _: Context
    ) -> pb.StartForOperatorResponse:
        reference = request.authorization_reference
        if not _is_reference(reference):
            raise ReferenceMalformedError
        if not 0 < len(request.token) <= LONGEST_UID:
            raise TokensMalformedError
        connector = connector_of(request.connector)
        charger = self._operating.charger(
            request.partner_id, request.installation_id, request.charger_id
        )
        command = self._operating.start(
            charger,
            request.token,
            connector,
            partner_id=request.partner_id,
            reference=reference or None,
        )
        outcome = await have(self._chargers, charger.id, command)
        return pb.StartForOperatorResponse(outcome=outcome)

    async def StopForOperator(
        self, request: pb.StopForOperatorRequest, _: Context
    ) -> pb.StopForOperatorResponse:
        session = self._operating.session(request.partner_id, request.session_id)
        outcome = await have(self._chargers, session.charger_id, stop(session))
        return pb.StopForOperatorResponse(outcome=outcome)

    async def UnlockForOperator(
        self, request: pb.UnlockForOperatorRequest, _: Context
    ) -> pb.UnlockForOperatorResponse:
        connector = connector_of(request.connector)
        if connector is None:
            raise ConnectorMalformedError
        charger = self._operating.charger(
            request.partner_id, request.installation_id, request.charger_id
        )
        outcome = await have(self._chargers, charger.id, Unlock(connector=connector))
        return pb.UnlockForOperatorResponse(outcome=outcome)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "RememberTokens": _partner,
            "AuthorizeForOperator": _partner,
            "StartForOperator": _partner,
            "StopForOperator": _partner,
            "UnlockForOperator": _partner,
        }


class _HasPartnerId(Protocol):
    partner_id: str


def _partner(request: _HasPartnerId) -> str:
    return f"partner:{request.partner_id}"


def _is_token(token: pb.OperatorToken) -> bool:
    return (
        0 < len(token.uid) <= LONGEST_UID
        and token.whitelist in _WHITELISTS
        and _is_reference(token.reference)
    )


def _is_reference(text: str) -> bool:
    return len(text) <= LONGEST_REFERENCE and (text + " ").isprintable()


def _whitelisted(token: pb.OperatorToken) -> Whitelisted | None:
    """Return what a whitelisting says: NEVER, that only an answer to a question counts.

    OCPI 2.2.1 §12.4.6. None where nothing is said any more.
    """
    if not token.whitelist:
        return None
    reference = token.reference or None
    if token.whitelist == "NEVER":
        answer = OperatorAnswer(status="UNREACHABLE", reference=reference)
    else:
        status: Literal["ALLOWED", "BLOCKED"] = "ALLOWED" if token.valid else "BLOCKED"
        answer = OperatorAnswer(status=status, reference=reference)
    return Whitelisted(answer, token.last_updated, always=token.whitelist == "ALWAYS")


def service(gateway: Gateway, chargers: Chargers) -> Service:
    """Return the service, to be served."""
    servicer = OperatorServicer(gateway, chargers)
    return Service(
        NAME,
        operators_pb2_grpc.add_OperatorServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )
