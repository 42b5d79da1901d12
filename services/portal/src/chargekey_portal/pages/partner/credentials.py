"""`/partners/ID/credentials`: what a partner's own programs sign in with."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import credentials_pb2 as pb
from chargekey_portal.forms import Text
from chargekey_portal.memberships import AtPartner, Membership
from chargekey_portal.mine import me
from chargekey_portal.refusals import Refusal, refusal_of, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()


@router.get("/partners/{partner_id}/credentials")
async def credentials(
    request: Request, visitor: SignedIn, member: AtPartner, after: str = ""
) -> Response:
    """List them, by pages, without their secrets."""
    return await _list(request, visitor, member, after=after)


@router.post("/partners/{partner_id}/credentials")
async def issue(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
    label: Text = "",
) -> Response:
    """Make one, and show its secret this once."""
    asked = pb.IssuePartnerCredentialRequest(
        command_id=command_id, partner_id=member.partner.id, label=label
    )
    try:
        issued = await visitor.services.credentials.IssuePartnerCredential(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, member, refusal_of(error), label=label)
    return page(
        request,
        "partner/secret",
        member=member,
        secrets={"id": issued.credential_id, "secret": issued.secret},
        back=f"{member.path}/credentials",
    )


@router.get("/partners/{partner_id}/credentials/{credential_id}/revoke")
async def ask_to_revoke(request: Request, member: AtPartner, credential_id: str) -> Response:
    """Ask whether that is meant."""
    return _revoke(request, member, credential_id)


@router.post("/partners/{partner_id}/credentials/{credential_id}/revoke")
async def revoke(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    credential_id: str,
    command_id: Text = "",
) -> Response:
    """Make it useless."""
    asked = pb.RevokePartnerCredentialRequest(command_id=command_id, credential_id=credential_id)
    refusal = await why_refused(visitor.services.credentials.RevokePartnerCredential(asked))
    if refusal is None:
        return see(f"{member.path}/credentials", "revoked")
    return _revoke(request, member, credential_id, refusal)


async def _list(
    request: Request,
    visitor: Visitor,
    member: Membership,
    refusal: Refusal | None = None,
    after: str = "",
    label: str = "",
) -> Response:
    asked = pb.ListPartnerCredentialsRequest(
        partner_id=member.partner.id, page_size=PAGE_SIZE, page_token=after
    )
    found, user = await asyncio.gather(
        visitor.services.credentials.ListPartnerCredentials(asked), me(visitor)
    )
    return page(
        request,
        "partner/credentials",
        refusal=refusal,
        member=member,
        credentials=found.credentials,
        next_page=found.next_page_token,
        label=label,
        zone=user.time_zone,
    )


def _revoke(
    request: Request, member: Membership, credential_id: str, refusal: Refusal | None = None
) -> Response:
    return page(
        request,
        "partner/credential_revoke",
        refusal=refusal,
        member=member,
        credential_id=credential_id,
    )
