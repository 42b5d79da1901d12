"""`/installations/ID/ownership`: offering one's own, until it is accepted (R6)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import owners_pb2 as pb
from chargekey_portal import names
from chargekey_portal.forms import Text
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import AtSite, Site
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

OWNERSHIP = "/installations/{installation_id}/ownership"


@router.get(OWNERSHIP)
async def ownership(request: Request, visitor: SignedIn, site: AtSite) -> Response:
    """Show the offer that stands, and ask to whom another one is made."""
    site.require("access.OfferOwnership")
    return await _form(request, visitor, site)


@router.post(OWNERSHIP)
async def offer(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    email: Text = "",
) -> Response:
    """Offer it to whoever has the address."""
    asked = pb.OfferOwnershipRequest(
        command_id=command_id, installation_id=site.installation.id, email=email
    )
    try:
        await visitor.services.owners.OfferOwnership(asked)
    except aio.AioRpcError as error:
        return await _form(request, visitor, site, refusal_of(error), email)
    return see(f"{site.path}/ownership", "ownership_offered")


@router.post(f"{OWNERSHIP}/withdraw")
async def withdraw(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
) -> Response:
    """End the offer."""
    asked = pb.WithdrawOwnershipOfferRequest(
        command_id=command_id, installation_id=site.installation.id
    )
    try:
        await visitor.services.owners.WithdrawOwnershipOffer(asked)
    except aio.AioRpcError as error:
        return await _form(request, visitor, site, refusal_of(error))
    return see(f"{site.path}/ownership", "ownership_withdrawn")


async def _form(
    request: Request,
    visitor: Visitor,
    site: Site,
    refusal: Refusal | None = None,
    email: str = "",
) -> Response:
    offered_to = site.installation.ownership_offered_to
    return page(
        request,
        "permissions/ownership",
        site=site,
        refusal=refusal,
        email=email,
        offered_to=offered_to,
        names=await names.names(visitor, site.installation.id, [offered_to]),
    )
