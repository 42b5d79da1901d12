"""`/administration/people`: everybody on the platform, and refusing somebody everywhere (R12)."""

from __future__ import annotations

import asyncio

import grpc
from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import permissions_pb2
from chargekey.identity.v1 import users_pb2
from chargekey_portal.administrators import Acting, Administrator
from chargekey_portal.forms import Text
from chargekey_portal.names import installations
from chargekey_portal.refusals import Refusal, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.searches import ForPeople, Sought
from chargekey_portal.sites import PAGE_SIZE

router = APIRouter()

PEOPLE = "/administration/people"


@router.get(PEOPLE)
async def people(request: Request, administrator: Acting, search: ForPeople) -> Response:
    """List them in the order they came, by pages."""
    asked = users_pb2.SearchPeopleRequest(
        search=search.text, page_size=PAGE_SIZE, page_token=search.after
    )
    found = await administrator.services.users.SearchPeople(asked)
    return page(
        request,
        "administration/people",
        administrator=administrator,
        people=found.users,
        next_page=found.next_page_token,
        search=search,
    )


@router.post(PEOPLE)
async def search_people(_: Acting, found: Sought) -> Response:
    """Lead on to those of a name or address."""
    return found


@router.get(f"{PEOPLE}/{{user_id}}")
async def person(
    request: Request, administrator: Acting, user_id: str, after: str = ""
) -> Response:
    """Show who somebody is, where he is blocked, and what he holds himself."""
    asked = permissions_pb2.ListPermissionsOfUserRequest(
        user_id=user_id, page_size=PAGE_SIZE, page_token=after
    )
    user, held = await asyncio.gather(
        _user(administrator, user_id),
        _held(administrator, asked),
    )
    sites = {each.installation_id for each in held.permissions} | {user.installation_id}
    return page(
        request,
        "administration/person",
        administrator=administrator,
        user=user,
        name=_name(user),
        permissions=held.permissions,
        next_page=held.next_page_token,
        sites=await installations(administrator, sites),
    )


@router.get(f"{PEOPLE}/{{user_id}}/block")
async def ask_to_block(request: Request, administrator: Acting, user_id: str) -> Response:
    """Tell what would come of it."""
    return await _blocking(request, administrator, user_id)


@router.post(f"{PEOPLE}/{{user_id}}/block")
async def block(
    request: Request,
    administrator: Acting,
    user_id: str,
    command_id: Text = "",
) -> Response:
    """Block him on the whole platform."""
    asked = users_pb2.BlockUserRequest(command_id=command_id, user_id=user_id, everywhere=True)
    refusal = await why_refused(administrator.services.users.BlockUser(asked))
    if refusal is None:
        return see(f"{PEOPLE}/{user_id}", "user_blocked")
    return await _blocking(request, administrator, user_id, refusal)


@router.post(f"{PEOPLE}/{{user_id}}/unblock")
async def unblock(administrator: Acting, user_id: str, command_id: Text = "") -> Response:
    """Block him there no longer; what sites have blocked stays."""
    asked = users_pb2.UnblockUserRequest(command_id=command_id, user_id=user_id, everywhere=True)
    await administrator.services.users.UnblockUser(asked)
    return see(f"{PEOPLE}/{user_id}", "user_unblocked")


async def _user(administrator: Administrator, user_id: str) -> users_pb2.User:
    asked = users_pb2.GetUserRequest(user_id=user_id)
    return (await administrator.services.users.GetUser(asked)).user


async def _held(
    administrator: Administrator, asked: permissions_pb2.ListPermissionsOfUserRequest
) -> permissions_pb2.ListPermissionsOfUserResponse:
    """Return what he holds; nothing where access has never heard of him."""
    answer: permissions_pb2.ListPermissionsOfUserResponse
    try:
        answer = await administrator.services.permissions.ListPermissionsOfUser(asked)
    except aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return permissions_pb2.ListPermissionsOfUserResponse()
    return answer


def _name(user: users_pb2.User) -> str:
    return f"{user.first_name} {user.last_name}".strip() or user.email


async def _blocking(
    request: Request, administrator: Administrator, user_id: str, refusal: Refusal | None = None
) -> Response:
    user = await _user(administrator, user_id)
    return page(
        request,
        "administration/block",
        administrator=administrator,
        refusal=refusal,
        user=user,
        name=_name(user),
    )
