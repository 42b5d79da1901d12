"""`/partners/ID/access-requests`: what the partner asks owners for, and asking (R8)."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from grpc import aio

from chargekey.access.v1 import access_requests_pb2 as pb
from chargekey.access.v1 import permissions_pb2
from chargekey_portal.forms import Text
from chargekey_portal.memberships import AtPartner, Membership
from chargekey_portal.mine import my_installations
from chargekey_portal.refusals import Refusal, refusal_of, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.settings import PortalSettings
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

# What a partner asks for; owning is for people.
_ASKED_FOR = (
    permissions_pb2.ROLE_SERVICE,
    permissions_pb2.ROLE_USER,
    permissions_pb2.ROLE_OPERATOR,
)


@router.get("/partners/{partner_id}/access-requests")
async def access_requests(
    request: Request, visitor: SignedIn, member: AtPartner, after: str = ""
) -> Response:
    """List those that nobody has answered, by pages, and ask what to ask for."""
    return await _list(request, visitor, member, after=after)


@router.post("/partners/{partner_id}/access-requests")
async def request_access(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
    role: Annotated[list[int] | None, Form()] = None,
) -> Response:
    """Make a link for an owner to approve, and show it this once."""
    asked = pb.RequestAccessRequest(
        command_id=command_id,
        partner_id=member.partner.id,
        roles=[permissions_pb2.Role.ValueType(each) for each in role or ()],
    )
    try:
        made = await visitor.services.access_requests.RequestAccess(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, member, refusal_of(error))
    settings: PortalSettings = request.app.state.settings
    return page(
        request,
        "partner/access_request",
        member=member,
        link=f"{settings.url}/access-request#{made.link_token}",
        request_id=made.access_request_id,
    )


@router.post("/partners/{partner_id}/access-requests/{request_id}/withdraw")
async def withdraw(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    request_id: str,
    command_id: Text = "",
) -> Response:
    """Take back what was asked for."""
    asked = pb.WithdrawAccessRequestRequest(command_id=command_id, access_request_id=request_id)
    refusal = await why_refused(visitor.services.access_requests.WithdrawAccessRequest(asked))
    if refusal is None:
        return see(f"{member.path}/access-requests", "withdrawn")
    return await _list(request, visitor, member, refusal)


async def _list(
    request: Request,
    visitor: Visitor,
    member: Membership,
    refusal: Refusal | None = None,
    after: str = "",
) -> Response:
    asked = pb.ListAccessRequestsRequest(
        partner_id=member.partner.id, page_size=PAGE_SIZE, page_token=after
    )
    found, sites = await asyncio.gather(
        visitor.services.access_requests.ListAccessRequests(asked), my_installations(visitor)
    )
    return page(
        request,
        "partner/access_requests",
        refusal=refusal,
        member=member,
        access_requests=found.access_requests,
        next_page=found.next_page_token,
        sites=sites,
        roles=_ASKED_FOR if member.operates else _ASKED_FOR[:-1],
    )
