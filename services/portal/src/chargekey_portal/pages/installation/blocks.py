"""`…/people/USER/block` of an installation: refusing somebody at its chargers, or no longer (R12).

A local user's block is his own; anybody else's is the installation's.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import owners_pb2
from chargekey.gateway.v1 import decisions_pb2
from chargekey.identity.v1 import users_pb2
from chargekey_portal.effects import preview
from chargekey_portal.forms import Text
from chargekey_portal.people import AtPerson, Person
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

PEOPLE = "/installations/{installation_id}/people/{user_id}"


@router.get(f"{PEOPLE}/block")
async def ask_to_block(request: Request, visitor: SignedIn, person: AtPerson) -> Response:
    """Tell what would come of it."""
    return await _blocking(request, visitor, person)


@router.post(f"{PEOPLE}/block")
async def block(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    command_id: Text = "",
) -> Response:
    """Block him there."""
    try:
        open_chargers = await block_at(visitor, person, command_id)
    except aio.AioRpcError as error:
        return await _blocking(request, visitor, person, refusal_of(error))
    return see(f"{person.site.path}/permissions", told_of_block(open_chargers))


@router.post(f"{PEOPLE}/unblock")
async def unblock(
    visitor: SignedIn,
    person: AtPerson,
    command_id: Text = "",
) -> Response:
    """Block him there no longer."""
    await unblock_at(visitor, person, command_id)
    return see(f"{person.site.path}/permissions", "user_unblocked")


async def block_at(visitor: Visitor, person: Person, command_id: str) -> int:
    """Block him, and return at how many chargers that cannot be enforced: anybody may charge."""
    answer: Any
    if person.is_local:
        own = users_pb2.BlockUserRequest(command_id=command_id, user_id=person.user.id)
        answer = await visitor.services.users.BlockUser(own)
    else:
        asked = owners_pb2.BlockUserAtInstallationRequest(
            command_id=command_id,
            installation_id=person.site.installation.id,
            user_id=person.user.id,
        )
        answer = await visitor.services.owners.BlockUserAtInstallation(asked)
    open_chargers: int = answer.open_chargers
    return open_chargers


async def unblock_at(visitor: Visitor, person: Person, command_id: str) -> None:
    """Undo it."""
    if person.is_local:
        own = users_pb2.UnblockUserRequest(command_id=command_id, user_id=person.user.id)
        await visitor.services.users.UnblockUser(own)
        return
    asked = owners_pb2.UnblockUserAtInstallationRequest(
        command_id=command_id,
        installation_id=person.site.installation.id,
        user_id=person.user.id,
    )
    await visitor.services.owners.UnblockUserAtInstallation(asked)


def told_of_block(open_chargers: int) -> str:
    """Return the key of what is said once somebody is blocked."""
    return "user_blocked_but_open" if open_chargers else "user_blocked"


async def _blocking(
    request: Request, visitor: Visitor, person: Person, refusal: Refusal | None = None
) -> Response:
    change = decisions_pb2.PreviewChangeRequest(
        installation_id=person.site.installation.id, blocked_user_id=person.user.id
    )
    return page(
        request,
        "installation/block",
        site=person.site,
        person=person,
        refusal=refusal,
        effects=await preview(visitor, change),
    )
