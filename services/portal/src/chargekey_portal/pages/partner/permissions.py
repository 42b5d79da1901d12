"""`/partners/ID/permissions`: where the partner may what."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from chargekey.access.v1 import partners_pb2
from chargekey_portal.memberships import AtPartner
from chargekey_portal.mine import my_installations
from chargekey_portal.rendering import page
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/partners/{partner_id}/permissions")
async def permissions(
    request: Request, visitor: SignedIn, member: AtPartner, after: str = ""
) -> Response:
    """List them, by pages."""
    asked = partners_pb2.ListPartnerPermissionsRequest(
        partner_id=member.partner.id, page_size=PAGE_SIZE, page_token=after
    )
    found, sites = await asyncio.gather(
        visitor.services.partners.ListPartnerPermissions(asked), my_installations(visitor)
    )
    return page(
        request,
        "partner/permissions",
        member=member,
        permissions=found.permissions,
        next_page=found.next_page_token,
        sites=sites,
    )
