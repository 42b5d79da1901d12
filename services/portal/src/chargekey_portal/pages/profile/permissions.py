"""`/profile/permissions`: where somebody may what, leaving, and owning what he is offered."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from chargekey.access.v1 import installations_pb2, owners_pb2, permissions_pb2
from chargekey_portal.forms import Text
from chargekey_portal.mine import my_chargers, my_installations
from chargekey_portal.refusals import NOT_FOUND, Refusal, RefusedError, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn

router = APIRouter()

HERE = "/profile/permissions"


@router.get(HERE)
async def permissions(request: Request, visitor: SignedIn, after: str = "") -> Response:
    """List what he holds himself, by pages, and what he is offered."""
    asked = permissions_pb2.ListPermissionsOfUserRequest(page_size=PAGE_SIZE, page_token=after)
    found, sites, chargers = await asyncio.gather(
        visitor.services.permissions.ListPermissionsOfUser(asked),
        my_installations(visitor),
        my_chargers(visitor),
    )
    return page(
        request,
        "profile/permissions",
        permissions=found.permissions,
        next_page=found.next_page_token,
        sites=sites,
        chargers=chargers,
        offered=[each for each in sites.values() if each.ownership_offered_to == visitor.user_id],
    )


@router.get(f"{HERE}/{{permission_id}}/leave")
async def ask_to_leave(request: Request, visitor: SignedIn, permission_id: str) -> Response:
    """Ask whether that is meant."""
    return await _leave(request, visitor, permission_id)


@router.post(f"{HERE}/{{permission_id}}/leave")
async def leave(
    request: Request,
    visitor: SignedIn,
    permission_id: str,
    command_id: Text = "",
) -> Response:
    """Take his own permission away; a site's last owner is refused."""
    asked = permissions_pb2.RevokePermissionRequest(
        command_id=command_id, permission_id=permission_id
    )
    refusal = await why_refused(visitor.services.permissions.RevokePermission(asked))
    if refusal is None:
        return see(HERE, "left")
    return await _leave(request, visitor, permission_id, refusal)


@router.get("/profile/ownership/{installation_id}")
async def ownership(request: Request, visitor: SignedIn, installation_id: str) -> Response:
    """Show what it means to own the site that is offered to him."""
    return await _ownership(request, visitor, installation_id)


@router.post("/profile/ownership/{installation_id}/accept")
async def accept_ownership(
    request: Request,
    visitor: SignedIn,
    installation_id: str,
    command_id: Text = "",
) -> Response:
    """Own it from now on."""
    asked = owners_pb2.AcceptOwnershipRequest(
        command_id=command_id, installation_id=installation_id
    )
    refusal = await why_refused(visitor.services.owners.AcceptOwnership(asked))
    if refusal is None:
        return see(f"/installations/{installation_id}", "ownership_accepted")
    return await _ownership(request, visitor, installation_id, refusal)


@router.post("/profile/ownership/{installation_id}/decline")
async def decline_ownership(
    request: Request,
    visitor: SignedIn,
    installation_id: str,
    command_id: Text = "",
) -> Response:
    """Leave it to whom it belongs."""
    asked = owners_pb2.WithdrawOwnershipOfferRequest(
        command_id=command_id, installation_id=installation_id
    )
    refusal = await why_refused(visitor.services.owners.WithdrawOwnershipOffer(asked))
    if refusal is None:
        return see(HERE, "ownership_declined")
    return await _ownership(request, visitor, installation_id, refusal)


async def _leave(
    request: Request, visitor: SignedIn, permission_id: str, refusal: Refusal | None = None
) -> Response:
    asked = permissions_pb2.GetPermissionRequest(permission_id=permission_id)
    found, sites, chargers = await asyncio.gather(
        visitor.services.permissions.GetPermission(asked),
        my_installations(visitor),
        my_chargers(visitor),
    )
    return page(
        request,
        "profile/permission_leave",
        refusal=refusal,
        permission=found.permission,
        sites=sites,
        chargers=chargers,
    )


async def _ownership(
    request: Request, visitor: SignedIn, installation_id: str, refusal: Refusal | None = None
) -> Response:
    may = await visitor.may(
        f"installation:{installation_id}", "access.AcceptOwnership", "access.GetInstallation"
    )
    if "access.AcceptOwnership" not in may and refusal is None:
        raise RefusedError(NOT_FOUND)
    name = ""
    if "access.GetInstallation" in may:
        asked = installations_pb2.GetInstallationRequest(installation_id=installation_id)
        name = (await visitor.services.installations.GetInstallation(asked)).installation.name
    return page(
        request,
        "profile/ownership",
        refusal=refusal,
        installation_id=installation_id,
        name=name,
    )
