"""`/invitation`: signing up by the link of an invitation."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import invitations_pb2 as pb
from chargekey_portal.forms import Text
from chargekey_portal.pages.sign_in import signed_in
from chargekey_portal.refusals import refusal_of
from chargekey_portal.rendering import page
from chargekey_portal.services import Services
from chargekey_portal.visitors import language

router = APIRouter()


@router.get("/invitation")
async def invitation(request: Request) -> Response:
    """Ask for a name; the link has its token behind `#`."""
    return page(request, "invitation", refusal=None, token="", first_name="", last_name="")


@router.post("/invitation")
async def accept(
    request: Request,
    token: Text = "",
    first_name: Text = "",
    last_name: Text = "",
) -> Response:
    """Verify the address and sign its person in."""
    services: Services = request.app.state.services
    asked = pb.AcceptInvitationRequest(
        token=token, first_name=first_name, last_name=last_name, language=language(request)
    )
    try:
        answer = await services.as_nobody.invitations.AcceptInvitation(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        return page(
            request,
            "invitation",
            refusal=refusal,
            token=token,
            first_name=first_name,
            last_name=last_name,
        )
    return await signed_in(request, answer)
