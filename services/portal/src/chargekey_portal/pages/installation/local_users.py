"""`/installations/ID/local-users`: people without an account, and the profile of each."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import privacy_pb2
from chargekey.identity.v1 import users_pb2 as pb
from chargekey_portal.forms import Text, Ticked
from chargekey_portal.pages.installation.blocks import block_at, told_of_block, unblock_at
from chargekey_portal.people import AtPerson, Person
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.searches import ForPeople, Sought
from chargekey_portal.sites import PAGE_SIZE, AtSite, Site
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

LOCAL_USERS = "/installations/{installation_id}/local-users"


@router.get(LOCAL_USERS)
async def local_users(
    request: Request, visitor: SignedIn, site: AtSite, search: ForPeople
) -> Response:
    """List them, by pages."""
    asked = pb.ListUsersRequest(
        installation_id=site.installation.id,
        page_size=PAGE_SIZE,
        page_token=search.after,
        search=search.text,
    )
    found = await visitor.services.users.ListUsers(asked)
    return page(
        request,
        "installation/local_users",
        site=site,
        users=found.users,
        next_page=found.next_page_token,
        search=search,
    )


@router.post(LOCAL_USERS)
async def search_local_users(found: Sought) -> Response:
    """Lead on to those of a name."""
    return found


@router.get(f"{LOCAL_USERS}/new")
async def ask_for_new(request: Request, site: AtSite) -> Response:
    """Ask for his profile."""
    site.require("identity.ListUsers")
    return _new(request, site)


@router.post(f"{LOCAL_USERS}/new")
async def add(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    first_name: Text = "",
    last_name: Text = "",
    blocked: Ticked = False,
) -> Response:
    """Add him, and lead on to what he presents."""
    asked = pb.AddLocalUserRequest(
        command_id=command_id,
        installation_id=site.installation.id,
        first_name=first_name,
        last_name=last_name,
        blocked=blocked,
    )
    try:
        added = await visitor.services.users.AddLocalUser(asked)
    except aio.AioRpcError as error:
        return _new(request, site, refusal_of(error), (first_name, last_name), blocked=blocked)
    told = "user_added_pending" if added.pending else "user_added"
    return see(f"{site.path}/local-users/{added.user_id}/identifications", told)


@router.get(f"{LOCAL_USERS}/{{user_id}}")
async def profile(request: Request, person: AtPerson) -> Response:
    """Show who he is, and ask who he is to be."""
    return _profile(request, person)


@router.post(f"{LOCAL_USERS}/{{user_id}}")
async def change(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    command_id: Text = "",
    first_name: Text = "",
    last_name: Text = "",
    blocked: Ticked = False,
) -> Response:
    """Do what differs from how he is."""
    told = "saved"
    try:
        if (first_name, last_name) != (person.user.first_name, person.user.last_name):
            asked = pb.RenameUserRequest(
                command_id=command_id,
                user_id=person.user.id,
                first_name=first_name,
                last_name=last_name,
            )
            await visitor.services.users.RenameUser(asked)
        if blocked != person.user.blocked:
            # Another command than the other one.
            second = command_id and f"{command_id}-blocked"
            told = await _allow(visitor, person, second, blocked=blocked)
    except aio.AioRpcError as error:
        return _profile(
            request, person, refusal_of(error), (first_name, last_name), blocked=blocked
        )
    return see(f"{person.site.path}/local-users", told)


@router.get(f"{LOCAL_USERS}/{{user_id}}/erase")
async def ask_to_erase(request: Request, person: AtPerson) -> Response:
    """Tell what would come of it."""
    return _erasing(request, person)


@router.post(f"{LOCAL_USERS}/{{user_id}}/erase")
async def erase(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    command_id: Text = "",
) -> Response:
    """Make everything personal of him unreadable, for ever (R20)."""
    asked = privacy_pb2.EraseUserRequest(command_id=command_id, user_id=person.user.id)
    try:
        erased = await visitor.services.privacy.EraseUser(asked)
    except aio.AioRpcError as error:
        return _erasing(request, person, refusal_of(error))
    told = "user_erased_pending" if erased.pending else "user_erased"
    return see(f"{person.site.path}/local-users", told)


@router.post(f"{LOCAL_USERS}/{{user_id}}/export")
async def export(visitor: SignedIn, person: AtPerson, command_id: Text = "") -> Response:
    """Return everything identity holds about him, his codes included, as a file; recorded."""
    asked = privacy_pb2.ExportUserRequest(command_id=command_id, user_id=person.user.id)
    exported = await visitor.services.privacy.ExportUser(asked)
    return Response(
        exported.document,
        media_type="application/json",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="user.json"',
        },
    )


async def _allow(visitor: Visitor, person: Person, command_id: str, *, blocked: bool) -> str:
    """Prevent access, or no longer; return the key of what is then said."""
    if blocked:
        return told_of_block(await block_at(visitor, person, command_id))
    await unblock_at(visitor, person, command_id)
    return "user_unblocked"


def _new(
    request: Request,
    site: Site,
    refusal: Refusal | None = None,
    name: tuple[str, str] = ("", ""),
    *,
    blocked: bool = False,
) -> Response:
    return page(
        request,
        "installation/local_user_new",
        site=site,
        refusal=refusal,
        first_name=name[0],
        last_name=name[1],
        blocked=blocked,
    )


def _profile(
    request: Request,
    person: Person,
    refusal: Refusal | None = None,
    name: tuple[str, str] | None = None,
    *,
    blocked: bool | None = None,
) -> Response:
    first_name, last_name = name or (person.user.first_name, person.user.last_name)
    return page(
        request,
        "installation/local_user",
        site=person.site,
        person=person,
        refusal=refusal,
        first_name=first_name,
        last_name=last_name,
        blocked=person.user.blocked if blocked is None else blocked,
    )


def _erasing(request: Request, person: Person, refusal: Refusal | None = None) -> Response:
    return page(
        request,
        "installation/local_user_erase",
        site=person.site,
        person=person,
        refusal=refusal,
    )
