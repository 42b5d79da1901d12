"""`/partners/ID/ocpi`: what there is between an operator and us by OCPI 2.2.1."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.notifier.v1 import ocpi_pb2 as pb
from chargekey_portal.forms import Text
from chargekey_portal.memberships import AtPartner, Membership
from chargekey_portal.refusals import Refusal, refusal_of, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()


@router.get("/partners/{partner_id}/ocpi")
async def ocpi(request: Request, visitor: SignedIn, member: AtPartner) -> Response:
    """Show how far the connection is, and what can be done about it."""
    return await _ocpi(request, visitor, member)


@router.post("/partners/{partner_id}/ocpi/offer")
async def offer(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
) -> Response:
    """Let the operator register here, and show what it needs for that this once."""
    asked = pb.OfferOcpiRequest(command_id=command_id, partner_id=member.partner.id)
    try:
        offered = await visitor.services.ocpi.OfferOcpi(asked)
    except aio.AioRpcError as error:
        return await _ocpi(request, visitor, member, refusal_of(error))
    return page(
        request,
        "partner/secret",
        member=member,
        secrets={"address": offered.versions_url, "token": offered.token},
        back=f"{member.path}/ocpi",
    )


@router.post("/partners/{partner_id}/ocpi/connect")
async def connect(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
    versions_url: Text = "",
    token: Text = "",
) -> Response:
    """Register at the operator."""
    asked = pb.ConnectOcpiRequest(
        command_id=command_id,
        partner_id=member.partner.id,
        versions_url=versions_url,
        token=token,
    )
    refusal = await why_refused(visitor.services.ocpi.ConnectOcpi(asked))
    if refusal is None:
        return see(f"{member.path}/ocpi", "ocpi_connected")
    return await _ocpi(request, visitor, member, refusal, versions_url)


@router.post("/partners/{partner_id}/ocpi/pull")
async def pull(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
) -> Response:
    """Fetch the operator's tokens now."""
    asked = pb.PullOcpiTokensRequest(command_id=command_id, partner_id=member.partner.id)
    refusal = await why_refused(visitor.services.ocpi.PullOcpiTokens(asked))
    if refusal is None:
        return see(f"{member.path}/ocpi", "ocpi_pulled")
    return await _ocpi(request, visitor, member, refusal)


@router.get("/partners/{partner_id}/ocpi/disconnect")
async def ask_to_disconnect(request: Request, member: AtPartner) -> Response:
    """Ask whether that is meant."""
    return page(request, "partner/ocpi_disconnect", member=member, refusal=None)


@router.post("/partners/{partner_id}/ocpi/disconnect")
async def disconnect(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
) -> Response:
    """Tell the operator that it is over, and forget what it said."""
    asked = pb.DisconnectOcpiRequest(command_id=command_id, partner_id=member.partner.id)
    refusal = await why_refused(visitor.services.ocpi.DisconnectOcpi(asked))
    if refusal is None:
        return see(f"{member.path}/ocpi", "ocpi_disconnected")
    return page(request, "partner/ocpi_disconnect", member=member, refusal=refusal)


async def _ocpi(
    request: Request,
    visitor: Visitor,
    member: Membership,
    refusal: Refusal | None = None,
    versions_url: str = "",
) -> Response:
    asked = pb.GetOcpiConnectionRequest(partner_id=member.partner.id)
    return page(
        request,
        "partner/ocpi",
        refusal=refusal,
        member=member,
        connection=await visitor.services.ocpi.GetOcpiConnection(asked),
        versions_url=versions_url,
    )
