"""`/invitation`: what somebody is invited to, and signing up by the link of the invitation."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1.permissions_pb2 import Role
from chargekey.identity.v1 import invitations_pb2 as pb
from chargekey_portal.forms import Text
from chargekey_portal.pages.sign_in import signed_in
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page
from chargekey_portal.services import Services
from chargekey_portal.visitors import language

router = APIRouter()


class Typed(msgspec.Struct, frozen=True):
    """What stands in the form."""

    token: str = ""
    first_name: str = ""
    last_name: str = ""
    time_zone: str = ""


@router.get("/invitation")
async def invitation(request: Request) -> Response:
    """Ask for a name; the link has its token behind `#`, which the page then sends itself."""
    return _page(request, Typed())


@router.post("/invitation/about")
async def about(request: Request, token: Text = "") -> Response:
    """Tell who has the token to what he is invited, and by whom; nothing is accepted yet."""
    if not token:
        return _page(request, Typed())
    return await _known(request, Typed(token))


@router.post("/invitation")
async def accept(
    request: Request,
    token: Text = "",
    first_name: Text = "",
    last_name: Text = "",
    time_zone: Text = "",
) -> Response:
    """Verify the address and sign its person in."""
    asked = pb.AcceptInvitationRequest(
        token=token,
        first_name=first_name,
        last_name=last_name,
        language=language(request),
        time_zone=time_zone,
    )
    try:
        answer = await _services(request).as_nobody.invitations.AcceptInvitation(asked)
    except aio.AioRpcError as error:
        typed = Typed(token, first_name, last_name, time_zone)
        return await _known(request, typed, refusal_of(error))
    return await signed_in(request, answer)


async def _known(request: Request, typed: Typed, refusal: Refusal | None = None) -> Response:
    """Show what the token's invitation is to; why not, where that is not told."""
    asked = pb.GetInvitationRequest(token=typed.token)
    try:
        told = await _services(request).as_nobody.invitations.GetInvitation(asked)
    except aio.AioRpcError as error:
        return _page(request, typed, refusal or refusal_of(error))
    return _page(request, typed, refusal, told)


def _page(
    request: Request,
    typed: Typed,
    refusal: Refusal | None = None,
    told: pb.GetInvitationResponse | None = None,
) -> Response:
    return page(
        request,
        "invitation",
        refusal=refusal,
        typed=typed,
        invited=told,
        roles=[Role.Value(f"ROLE_{each}") for each in told.roles] if told else [],
    )


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
