"""`/partners/ID/decision-endpoint`: where an operator answers who may charge at its sites."""

from __future__ import annotations

import grpc
from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import decision_endpoints_pb2 as pb
from chargekey_portal.forms import Number, Text
from chargekey_portal.memberships import AtPartner, Membership
from chargekey_portal.refusals import Refusal, refusal_of, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()


@router.get("/partners/{partner_id}/decision-endpoint")
async def decision_endpoint(request: Request, visitor: SignedIn, member: AtPartner) -> Response:
    """Show where the operator answers, without its secret, and ask where else, and how."""
    return await _endpoint(request, visitor, member)


@router.post("/partners/{partner_id}/decision-endpoint")
async def set_endpoint(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
    kind: Number = 0,
    url: Text = "",
    token: Text = "",
    from_country_code: Text = "",
    from_party_id: Text = "",
    to_country_code: Text = "",
    to_party_id: Text = "",
) -> Response:
    """Let the operator be asked there, in place of before; show a secret that is made this once."""
    parties = pb.OcpiParties(
        from_country_code=from_country_code,
        from_party_id=from_party_id,
        to_country_code=to_country_code,
        to_party_id=to_party_id,
    )
    named = any((from_country_code, from_party_id, to_country_code, to_party_id))
    asked = pb.SetDecisionEndpointRequest(
        command_id=command_id,
        partner_id=member.partner.id,
        kind=pb.DecisionEndpointKind.ValueType(kind),
        url=url,
        secret=token,
        parties=parties if named else None,
    )
    try:
        answer = await visitor.services.decision_endpoints.SetDecisionEndpoint(asked)
    except aio.AioRpcError as error:
        return await _endpoint(request, visitor, member, refusal_of(error), asked)
    here = f"{member.path}/decision-endpoint"
    if not answer.secret:
        return see(here, "endpoint_set")
    return page(
        request, "partner/secret", member=member, secrets={"secret": answer.secret}, back=here
    )


@router.get("/partners/{partner_id}/decision-endpoint/remove")
async def ask_to_remove(request: Request, member: AtPartner) -> Response:
    """Ask whether that is meant."""
    return page(request, "partner/decision_endpoint_remove", member=member, refusal=None)


@router.post("/partners/{partner_id}/decision-endpoint/remove")
async def remove_endpoint(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
) -> Response:
    """Let the operator be asked no longer."""
    asked = pb.RemoveDecisionEndpointRequest(command_id=command_id, partner_id=member.partner.id)
    refusal = await why_refused(visitor.services.decision_endpoints.RemoveDecisionEndpoint(asked))
    if refusal is None:
        return see(f"{member.path}/decision-endpoint", "endpoint_removed")
    return page(request, "partner/decision_endpoint_remove", member=member, refusal=refusal)


async def _endpoint(
    request: Request,
    visitor: Visitor,
    member: Membership,
    refusal: Refusal | None = None,
    typed: pb.SetDecisionEndpointRequest | None = None,
) -> Response:
    return page(
        request,
        "partner/decision_endpoint",
        refusal=refusal,
        member=member,
        endpoint=await _described(visitor, member),
        typed=typed or pb.SetDecisionEndpointRequest(),
    )


async def _described(
    visitor: Visitor, member: Membership
) -> pb.DescribeDecisionEndpointResponse | None:
    asked = pb.DescribeDecisionEndpointRequest(partner_id=member.partner.id)
    try:
        return await visitor.services.decision_endpoints.DescribeDecisionEndpoint(asked)
    except aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None  # none is set
