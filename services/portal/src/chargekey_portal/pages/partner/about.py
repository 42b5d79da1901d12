"""`/partners`: those somebody is in; `/partners/ID`: what one is called, and its lookup key."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from chargekey.access.v1 import partners_pb2 as pb
from chargekey_portal.forms import Text
from chargekey_portal.memberships import AtPartner, Membership
from chargekey_portal.refusals import Refusal, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/partners")
async def partners(request: Request, visitor: SignedIn, after: str = "") -> Response:
    """List them, by pages."""
    asked = pb.ListPartnersRequest(page_size=PAGE_SIZE, page_token=after)
    found = await visitor.services.partners.ListPartners(asked)
    return page(
        request, "partner/partners", partners=found.partners, next_page=found.next_page_token
    )


@router.get("/partners/{partner_id}")
async def partner(request: Request, member: AtPartner) -> Response:
    """Show its lookup key, and what it is called, to be changed by who manages it."""
    return _partner(request, member)


@router.post("/partners/{partner_id}")
async def change(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
    name: Text = "",
    contact: Text = "",
    logo_url: Text = "",
) -> Response:
    """Call it otherwise."""
    asked = pb.ChangePartnerRequest(
        command_id=command_id,
        partner_id=member.partner.id,
        name=name,
        contact=contact,
        logo_url=logo_url,
    )
    refusal = await why_refused(visitor.services.partners.ChangePartner(asked))
    if refusal is None:
        return see(member.path, "saved")
    typed = pb.Partner(name=name, contact=contact, logo_url=logo_url)
    return _partner(request, member, refusal, typed)


@router.get("/partners/{partner_id}/key")
async def ask_to_rotate_key(request: Request, member: AtPartner) -> Response:
    """Ask whether that is meant."""
    return page(request, "partner/key", member=member, refusal=None)


@router.post("/partners/{partner_id}/key")
async def rotate_key(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
) -> Response:
    """Let the old key find nothing."""
    asked = pb.RotateLookupKeyRequest(command_id=command_id, partner_id=member.partner.id)
    refusal = await why_refused(visitor.services.partners.RotateLookupKey(asked))
    if refusal is None:
        return see(member.path, "key_rotated")
    return page(request, "partner/key", member=member, refusal=refusal)


def _partner(
    request: Request,
    member: Membership,
    refusal: Refusal | None = None,
    typed: pb.Partner | None = None,
) -> Response:
    return page(
        request,
        "partner/about",
        refusal=refusal,
        member=member,
        typed=typed or member.partner,
    )
