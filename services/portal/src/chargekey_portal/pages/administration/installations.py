"""`/administration/installations`: all there are, and an owner for one whose owner is gone (R6)."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from chargekey.access.v1 import installations_pb2, owners_pb2
from chargekey_portal.administrators import Acting, Administrator
from chargekey_portal.forms import Text
from chargekey_portal.names import people
from chargekey_portal.refusals import Refusal, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE

router = APIRouter()

INSTALLATIONS = "/administration/installations"


@router.get(INSTALLATIONS)
async def installations(
    request: Request, administrator: Acting, search: str = "", after: str = ""
) -> Response:
    """List them, by pages."""
    asked = installations_pb2.ListInstallationsRequest(
        page_size=PAGE_SIZE, page_token=after, search=search
    )
    found = await administrator.services.installations.ListInstallations(asked)
    return page(
        request,
        "administration/installations",
        administrator=administrator,
        installations=found.installations,
        next_page=found.next_page_token,
        search=search,
    )


@router.get(f"{INSTALLATIONS}/{{installation_id}}")
async def installation(request: Request, administrator: Acting, installation_id: str) -> Response:
    """Show whose it is, and ask to whom else it is offered."""
    return await _installation(request, administrator, installation_id)


@router.post(f"{INSTALLATIONS}/{{installation_id}}/ownership")
async def offer(
    request: Request,
    administrator: Acting,
    installation_id: str,
    command_id: Text = "",
    email: Text = "",
) -> Response:
    """Offer the ownership of its one owner to whoever has the address."""
    asked = owners_pb2.OfferOwnershipRequest(
        command_id=command_id, installation_id=installation_id, email=email
    )
    refusal = await why_refused(administrator.services.owners.OfferOwnership(asked))
    if refusal is None:
        return see(f"{INSTALLATIONS}/{installation_id}", "ownership_offered")
    return await _installation(request, administrator, installation_id, refusal, email)


@router.post(f"{INSTALLATIONS}/{{installation_id}}/ownership/withdraw")
async def withdraw(
    request: Request,
    administrator: Acting,
    installation_id: str,
    command_id: Text = "",
) -> Response:
    """End the offer."""
    asked = owners_pb2.WithdrawOwnershipOfferRequest(
        command_id=command_id, installation_id=installation_id
    )
    refusal = await why_refused(administrator.services.owners.WithdrawOwnershipOffer(asked))
    if refusal is None:
        return see(f"{INSTALLATIONS}/{installation_id}", "ownership_withdrawn")
    return await _installation(request, administrator, installation_id, refusal)


async def _installation(
    request: Request,
    administrator: Administrator,
    installation_id: str,
    refusal: Refusal | None = None,
    email: str = "",
) -> Response:
    asked = installations_pb2.GetInstallationRequest(installation_id=installation_id)
    of_whom = owners_pb2.GetOwnersRequest(installation_id=installation_id)
    found, owners = await asyncio.gather(
        administrator.services.installations.GetInstallation(asked),
        administrator.services.owners.GetOwners(of_whom),
    )
    offered_to = found.installation.ownership_offered_to
    return page(
        request,
        "administration/installation",
        administrator=administrator,
        refusal=refusal,
        installation=found.installation,
        owners=owners.user_ids,
        offered_to=offered_to,
        names=await people(administrator, [*owners.user_ids, offered_to]),
        email=email,
    )
