"""`/partners/ID/members`: who holds what the partner holds, for as long as he is in it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from chargekey.access.v1 import partners_pb2 as pb
from chargekey_portal import names
from chargekey_portal.forms import Text, Ticked
from chargekey_portal.memberships import AtPartner, Membership
from chargekey_portal.refusals import Refusal, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()


@router.get("/partners/{partner_id}/members")
async def members(
    request: Request, visitor: SignedIn, member: AtPartner, after: str = ""
) -> Response:
    """List them, by pages."""
    return await _list(request, visitor, member, after=after)


@router.post("/partners/{partner_id}/members")
async def add(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
    email: Text = "",
    manages: Ticked = False,
) -> Response:
    """Add whoever has the address; who is new here is invited."""
    asked = pb.AddPartnerMemberRequest(
        command_id=command_id, partner_id=member.partner.id, email=email, manages=manages
    )
    refusal = await why_refused(visitor.services.partners.AddPartnerMember(asked))
    if refusal is None:
        return see(f"{member.path}/members", "member_added")
    return await _list(request, visitor, member, refusal, email=email, manages=manages)


@router.post("/partners/{partner_id}/members/{user_id}/manages")
async def set_manages(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    user_id: str,
    command_id: Text = "",
    manages: Ticked = False,
) -> Response:
    """Let a member manage the partner, or no longer."""
    asked = pb.AddPartnerMemberRequest(
        command_id=command_id, partner_id=member.partner.id, user_id=user_id, manages=manages
    )
    refusal = await why_refused(visitor.services.partners.AddPartnerMember(asked))
    if refusal is None:
        return see(f"{member.path}/members", "saved")
    return await _list(request, visitor, member, refusal)


@router.get("/partners/{partner_id}/members/{user_id}/remove")
async def ask_to_remove(
    request: Request, visitor: SignedIn, member: AtPartner, user_id: str
) -> Response:
    """Ask whether that is meant."""
    return await _remove(request, visitor, member, user_id)


@router.post("/partners/{partner_id}/members/{user_id}/remove")
async def remove(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    user_id: str,
    command_id: Text = "",
) -> Response:
    """Remove him; everybody may leave."""
    asked = pb.RemovePartnerMemberRequest(
        command_id=command_id, partner_id=member.partner.id, user_id=user_id
    )
    refusal = await why_refused(visitor.services.partners.RemovePartnerMember(asked))
    if refusal is not None:
        return await _remove(request, visitor, member, user_id, refusal)
    if user_id == visitor.user_id:
        return see("/partners", "left")
    return see(f"{member.path}/members", "removed")


async def _list(
    request: Request,
    visitor: Visitor,
    member: Membership,
    refusal: Refusal | None = None,
    after: str = "",
    email: str = "",
    *,
    manages: bool = False,
) -> Response:
    asked = pb.ListPartnerMembersRequest(
        partner_id=member.partner.id, page_size=PAGE_SIZE, page_token=after
    )
    found = await visitor.services.partners.ListPartnerMembers(asked)
    return page(
        request,
        "partner/members",
        refusal=refusal,
        member=member,
        members=found.members,
        names=await names.members(visitor, member.partner.id, (e.user_id for e in found.members)),
        next_page=found.next_page_token,
        visitor=visitor,
        email=email,
        manages=manages,
    )


async def _remove(
    request: Request,
    visitor: Visitor,
    member: Membership,
    user_id: str,
    refusal: Refusal | None = None,
) -> Response:
    return page(
        request,
        "partner/member_remove",
        refusal=refusal,
        member=member,
        user_id=user_id,
        names=await names.members(visitor, member.partner.id, [user_id]),
        visitor=visitor,
    )
