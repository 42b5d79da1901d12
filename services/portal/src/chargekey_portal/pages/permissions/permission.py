"""`…/permissions/PERMISSION`: changing one, and taking it away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from grpc import aio

from chargekey.access.v1 import permissions_pb2 as pb
from chargekey.gateway.v1 import decisions_pb2
from chargekey_portal import names
from chargekey_portal.effects import preview
from chargekey_portal.forms import IN_RANGE, Text
from chargekey_portal.places import AtPlace, Place
from chargekey_portal.refusals import NOT_FOUND, Refusal, RefusedError, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.visitors import SignedIn, Visitor
from chargekey_portal.words import ROLES_OF_PARTNERS, ROLES_OF_USERS, local_day

router = APIRouter()

INSTALLATION = "/installations/{installation_id}/permissions/{permission_id}"
CHARGER = "/chargers/{charger_id}/permissions/{permission_id}"


async def permission(permission_id: str, visitor: SignedIn, place: AtPlace) -> pb.Permission:
    """Return the permission that the address names; raises RefusedError where it is elsewhere."""
    asked = pb.GetPermissionRequest(permission_id=permission_id)
    found = (await visitor.services.permissions.GetPermission(asked)).permission
    where = {"charger_id": found.charger_id} if found.charger_id else None
    if place.target != (where or {"installation_id": found.installation_id}):
        raise RefusedError(NOT_FOUND)
    return found


Found = Annotated[pb.Permission, Depends(permission)]


@router.get(INSTALLATION)
@router.get(CHARGER)
async def ask_for_change(
    request: Request, visitor: SignedIn, place: AtPlace, found: Found
) -> Response:
    """Ask for other roles, or another end."""
    return await _form(request, visitor, place, found, found.roles, _last_day(place, found))


@router.post(INSTALLATION)
@router.post(CHARGER)
async def change(
    request: Request,
    visitor: SignedIn,
    place: AtPlace,
    found: Found,
    roles: Annotated[list[Annotated[pb.Role.ValueType, IN_RANGE]], Form(default_factory=list)],
    command_id: Text = "",
    valid_until: Text = "",
) -> Response:
    """Change it to what the form says; none of the roles is refused there."""
    asked = pb.ChangePermissionRequest(
        command_id=command_id,
        permission_id=found.id,
        # No roles would leave them.
        roles=roles or [pb.ROLE_UNSPECIFIED],
        valid_until=valid_until,
    )
    try:
        await visitor.services.permissions.ChangePermission(asked)
    except aio.AioRpcError as error:
        return await _form(request, visitor, place, found, roles, valid_until, refusal_of(error))
    return see(f"{place.path}/permissions", "saved")


@router.get(f"{INSTALLATION}/revoke")
@router.get(f"{CHARGER}/revoke")
async def ask_to_revoke(
    request: Request, visitor: SignedIn, place: AtPlace, found: Found
) -> Response:
    """Tell what would come of it."""
    return await _revoking(request, visitor, place, found)


@router.post(f"{INSTALLATION}/revoke")
@router.post(f"{CHARGER}/revoke")
async def revoke(
    request: Request,
    visitor: SignedIn,
    place: AtPlace,
    found: Found,
    command_id: Text = "",
) -> Response:
    """Take it away."""
    asked = pb.RevokePermissionRequest(command_id=command_id, permission_id=found.id)
    try:
        await visitor.services.permissions.RevokePermission(asked)
    except aio.AioRpcError as error:
        return await _revoking(request, visitor, place, found, refusal_of(error))
    own = found.user_id == visitor.user_id
    # Whoever gave up his own may not look at the others' any longer.
    return see("/installations" if own else f"{place.path}/permissions", "permission_revoked")


async def _form(
    request: Request,
    visitor: Visitor,
    place: Place,
    found: pb.Permission,
    roles: Sequence[pb.Role.ValueType],
    valid_until: str,
    refusal: Refusal | None = None,
) -> Response:
    return page(
        request,
        "permissions/permission",
        **place.layout,
        refusal=refusal,
        permission=found,
        holders=await names.holders(visitor, place.installation.id, [found]),
        offered=await _offered(visitor, place, found),
        roles=roles,
        valid_until=valid_until,
    )


async def _offered(visitor: Visitor, place: Place, found: pb.Permission) -> Mapping[int, str]:
    """Return what it may be changed to by the visitor; of what is not his, what it has already.

    Somebody is made the operator by being given that, where it is told what it means.
    """
    mine = await visitor.may_give(place.name) - {pb.ROLE_OPERATOR}
    every = ROLES_OF_USERS if found.user_id else ROLES_OF_PARTNERS
    return {role: about for role, about in every.items() if role in {*mine, *found.roles}}


async def _revoking(
    request: Request,
    visitor: Visitor,
    place: Place,
    found: pb.Permission,
    refusal: Refusal | None = None,
) -> Response:
    change = decisions_pb2.PreviewChangeRequest(
        installation_id=place.installation.id, revoked_permission_id=found.id
    )
    return page(
        request,
        "permissions/revoke",
        **place.layout,
        refusal=refusal,
        permission=found,
        holders=await names.holders(visitor, place.installation.id, [found]),
        effects=await preview(visitor, change),
    )


def _last_day(place: Place, found: pb.Permission) -> str:
    if not found.HasField("valid_until"):
        return ""
    return local_day(found.valid_until, place.installation.time_zone)
