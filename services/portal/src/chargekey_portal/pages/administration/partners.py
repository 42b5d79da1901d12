"""`/administration/partners`: all there are, a new one, and who is to manage it (R8)."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import partners_pb2 as pb
from chargekey_portal.administrators import Acting, Administrator
from chargekey_portal.forms import Number, Text
from chargekey_portal.names import installations, people
from chargekey_portal.refusals import Refusal, refusal_of, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE

router = APIRouter()

PARTNERS = "/administration/partners"


@router.get(PARTNERS)
async def partners(request: Request, administrator: Acting, after: str = "") -> Response:
    """List them, by pages."""
    asked = pb.ListPartnersRequest(page_size=PAGE_SIZE, page_token=after)
    found = await administrator.services.partners.ListPartners(asked)
    return page(
        request,
        "administration/partners",
        administrator=administrator,
        partners=found.partners,
        next_page=found.next_page_token,
    )


@router.get(f"{PARTNERS}/new")
async def ask_for_new(request: Request, administrator: Acting) -> Response:
    """Ask what it is called, what kind it is, and how people reach it."""
    return _new(request, administrator)


@router.post(f"{PARTNERS}/new")
async def create(
    request: Request,
    administrator: Acting,
    command_id: Text = "",
    name: Text = "",
    kind: Number = pb.PARTNER_KIND_UNSPECIFIED,
    contact: Text = "",
) -> Response:
    """Create it; it has nobody in it yet."""
    asked = pb.CreatePartnerRequest(
        command_id=command_id, name=name, kind=pb.PartnerKind.ValueType(kind), contact=contact
    )
    try:
        created = await administrator.services.partners.CreatePartner(asked)
    except aio.AioRpcError as error:
        return _new(request, administrator, refusal_of(error), asked)
    return see(f"{PARTNERS}/{created.partner_id}", "partner_created")


@router.get(f"{PARTNERS}/{{partner_id}}")
async def partner(
    request: Request, administrator: Acting, partner_id: str, after: str = ""
) -> Response:
    """Show what it is called, its lookup key and its members, by pages."""
    return await _partner(request, administrator, partner_id, after=after)


@router.post(f"{PARTNERS}/{{partner_id}}/members")
async def add_member(
    request: Request,
    administrator: Acting,
    partner_id: str,
    command_id: Text = "",
    email: Text = "",
) -> Response:
    """Let whoever has the address manage it; who is new here is invited."""
    asked = pb.AddPartnerMemberRequest(
        command_id=command_id, partner_id=partner_id, email=email, manages=True
    )
    refusal = await why_refused(administrator.services.partners.AddPartnerMember(asked))
    if refusal is None:
        return see(f"{PARTNERS}/{partner_id}", "member_added")
    return await _partner(request, administrator, partner_id, refusal, email=email)


@router.get(f"{PARTNERS}/{{partner_id}}/permissions")
async def permissions(
    request: Request, administrator: Acting, partner_id: str, after: str = ""
) -> Response:
    """List what it holds, and where, by pages."""
    asked = pb.ListPartnerPermissionsRequest(
        partner_id=partner_id, page_size=PAGE_SIZE, page_token=after
    )
    found, held = await asyncio.gather(
        _get(administrator, partner_id),
        administrator.services.partners.ListPartnerPermissions(asked),
    )
    sites = {each.installation_id for each in held.permissions}
    return page(
        request,
        "administration/partner_permissions",
        administrator=administrator,
        partner=found,
        permissions=held.permissions,
        next_page=held.next_page_token,
        sites=await installations(administrator, sites),
    )


async def _get(administrator: Administrator, partner_id: str) -> pb.Partner:
    asked = pb.GetPartnerRequest(partner_id=partner_id)
    return (await administrator.services.partners.GetPartner(asked)).partner


async def _partner(
    request: Request,
    administrator: Administrator,
    partner_id: str,
    refusal: Refusal | None = None,
    after: str = "",
    email: str = "",
) -> Response:
    asked = pb.ListPartnerMembersRequest(
        partner_id=partner_id, page_size=PAGE_SIZE, page_token=after
    )
    found, listed = await asyncio.gather(
        _get(administrator, partner_id),
        administrator.services.partners.ListPartnerMembers(asked),
    )
    return page(
        request,
        "administration/partner",
        administrator=administrator,
        refusal=refusal,
        partner=found,
        members=listed.members,
        names=await people(administrator, [each.user_id for each in listed.members]),
        next_page=listed.next_page_token,
        email=email,
    )


def _new(
    request: Request,
    administrator: Administrator,
    refusal: Refusal | None = None,
    typed: pb.CreatePartnerRequest | None = None,
) -> Response:
    return page(
        request,
        "administration/partner_new",
        administrator=administrator,
        refusal=refusal,
        typed=typed or pb.CreatePartnerRequest(kind=pb.PARTNER_KIND_SERVICE_PARTNER),
    )
