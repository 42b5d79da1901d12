"""`/installations/ID/invitations`: who was invited by address, and may be once more (R7)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import invitations_pb2 as pb
from chargekey_portal import names
from chargekey_portal.forms import Text
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE, AtSite, Site
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

INVITATIONS = "/installations/{installation_id}/invitations"


@router.get(INVITATIONS)
async def invitations(
    request: Request, visitor: SignedIn, site: AtSite, after: str = ""
) -> Response:
    """List them, by pages, in the order they were made."""
    return await _list(request, visitor, site, after)


@router.post(f"{INVITATIONS}/{{invitation_id}}/resend")
async def resend(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    invitation_id: str,
    command_id: Text = "",
) -> Response:
    """Send a new link; the old one is void."""
    asked = pb.ResendInvitationRequest(command_id=command_id, invitation_id=invitation_id)
    try:
        await visitor.services.invitations.ResendInvitation(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, site, refusal=refusal_of(error))
    return see(f"{site.path}/invitations", "invitation_sent")


@router.post(f"{INVITATIONS}/{{invitation_id}}/revoke")
async def revoke(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    invitation_id: str,
    command_id: Text = "",
) -> Response:
    """Take it back, with the permission it was for."""
    asked = pb.RevokeInvitationRequest(command_id=command_id, invitation_id=invitation_id)
    try:
        await visitor.services.invitations.RevokeInvitation(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, site, refusal=refusal_of(error))
    return see(f"{site.path}/invitations", "invitation_revoked")


async def _list(
    request: Request,
    visitor: Visitor,
    site: Site,
    after: str = "",
    refusal: Refusal | None = None,
) -> Response:
    asked = pb.ListInvitationsRequest(
        installation_id=site.installation.id, page_size=PAGE_SIZE, page_token=after
    )
    found = await visitor.services.invitations.ListInvitations(asked)
    return page(
        request,
        "permissions/invitations",
        site=site,
        refusal=refusal,
        invitations=found.invitations,
        chargers=await names.chargers(
            visitor, site.installation.id, (each.charger_id for each in found.invitations)
        ),
        next_page=found.next_page_token,
    )
