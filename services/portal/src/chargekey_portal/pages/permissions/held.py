"""`…/permissions` of an installation or a charger: who may do what there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from fastapi import APIRouter, Request, Response

from chargekey.access.v1 import owners_pb2
from chargekey.access.v1 import permissions_pb2 as pb
from chargekey.identity.v1 import users_pb2
from chargekey_portal import names
from chargekey_portal.places import AtPlace, Place
from chargekey_portal.rendering import page
from chargekey_portal.searches import ForPeople, PeopleSearch, Sought
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

AT_SITE = "/installations/{installation_id}/permissions"
AT_CHARGER = "/chargers/{charger_id}/permissions"

# A page of them, and where the one behind it begins.
Found: TypeAlias = tuple[Sequence[pb.Permission], str]
# In that: between among whom, and behind whose permission; in no token of the services.
_BEHIND = "~"


@router.get(AT_SITE)
@router.get(AT_CHARGER)
async def permissions(
    request: Request, visitor: SignedIn, place: AtPlace, search: ForPeople
) -> Response:
    """List them, by pages; those of people whose name is searched for."""
    found, next_page = await (_searched if search.text else _listed)(visitor, place, search)
    who = [each.user_id for each in found if each.user_id]
    return page(
        request,
        "permissions/held",
        **place.layout,
        permissions=found,
        holders=await names.holders(visitor, place.installation.id, found),
        blocked=await _blocked(visitor, place, who),
        visitor_id=visitor.user_id,
        next_page=next_page,
        search=search,
    )


@router.post(AT_SITE)
@router.post(AT_CHARGER)
async def search_permissions(found: Sought) -> Response:
    """Lead on to those of people of a name or address."""
    return found


async def _listed(visitor: Visitor, place: Place, search: PeopleSearch) -> Found:
    asked = pb.ListPermissionsRequest(**place.target, page_size=PAGE_SIZE, page_token=search.after)
    found = await visitor.services.permissions.ListPermissions(asked)
    return found.permissions, found.next_page_token


async def _searched(visitor: Visitor, place: Place, search: PeopleSearch) -> Found:
    """Return a page of what people hold whose name or address contains the text.

    As many people are asked for as one answer tells, and on until some of them hold anything
    here. The page behind begins among the same people, or behind them.
    """
    among, _, behind = search.after.partition(_BEHIND)
    while True:
        people = await visitor.services.users.SearchPeople(
            users_pb2.SearchPeopleRequest(
                installation_id=place.installation.id,
                search=search.text,
                page_size=names.MOST,
                page_token=among,
            )
        )
        found = pb.ListPermissionsResponse()
        if people.users:  # without any it would be everybody's
            asked = pb.ListPermissionsRequest(
                **place.target,
                page_size=PAGE_SIZE,
                page_token=behind,
                user_ids=[each.id for each in people.users],
            )
            found = await visitor.services.permissions.ListPermissions(asked)
        if found.next_page_token:
            return found.permissions, f"{among}{_BEHIND}{found.next_page_token}"
        among, behind = people.next_page_token, ""
        if found.permissions or not among:
            return found.permissions, among


async def _blocked(visitor: Visitor, place: Place, user_ids: Sequence[str]) -> frozenset[str]:
    """Return which of them are blocked at the installation, where the visitor may know it."""
    if not user_ids or "access.ListBlockedUsers" not in place.may:
        return frozenset()
    asked = owners_pb2.ListBlockedUsersRequest(
        installation_id=place.installation.id, user_ids=user_ids, page_size=len(user_ids)
    )
    return frozenset((await visitor.services.owners.ListBlockedUsers(asked)).user_ids)
