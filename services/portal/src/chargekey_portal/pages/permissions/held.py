"""`…/permissions` of an installation or a charger: who may do what there."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from chargekey.access.v1 import owners_pb2
from chargekey.access.v1 import permissions_pb2 as pb
from chargekey.identity.v1 import users_pb2
from chargekey_portal import names
from chargekey_portal.forms import ForPeople
from chargekey_portal.places import AtPlace, Place
from chargekey_portal.rendering import page
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()


@router.api_route("/installations/{installation_id}/permissions", methods=["GET", "POST"])
@router.api_route("/chargers/{charger_id}/permissions", methods=["GET", "POST"])
async def permissions(
    request: Request, visitor: SignedIn, place: AtPlace, search: ForPeople
) -> Response:
    """List them, by pages; those of people whose name is searched for."""
    searched = await _called(visitor, place, search.text) if search.text else ()
    found = pb.ListPermissionsResponse()
    if searched or not search.text:
        asked = pb.ListPermissionsRequest(
            **place.target, page_size=PAGE_SIZE, page_token=search.after, user_ids=searched
        )
        found = await visitor.services.permissions.ListPermissions(asked)
    return page(
        request,
        "permissions/held",
        **place.layout,
        permissions=found.permissions,
        names=await names.holders(visitor, place.installation, found.permissions),
        blocked=await _blocked(visitor, place),
        visitor_id=visitor.user_id,
        next_page=found.next_page_token,
        search=search.text,
    )


async def _called(visitor: Visitor, place: Place, search: str) -> Sequence[str]:
    """Return the ids of people whose name or address contains it."""
    asked = users_pb2.SearchPeopleRequest(
        installation_id=place.installation.id, search=search, page_size=names.MOST
    )
    return [each.id for each in (await visitor.services.users.SearchPeople(asked)).users]


async def _blocked(visitor: Visitor, place: Place) -> frozenset[str]:
    """Return who is blocked at the installation, where the visitor may know it."""
    if "access.ListBlockedUsers" not in place.may:
        return frozenset()
    asked = owners_pb2.ListBlockedUsersRequest(
        installation_id=place.installation.id, page_size=names.MOST
    )
    return frozenset((await visitor.services.owners.ListBlockedUsers(asked)).user_ids)
