"""`/installations`: those that somebody may see, and a new one."""

from __future__ import annotations

from zoneinfo import available_timezones

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.access.v1 import installations_pb2 as pb
from chargekey_portal.forms import Text
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/installations")
async def installations(
    request: Request, visitor: SignedIn, search: str = "", after: str = ""
) -> Response:
    """List them, by pages."""
    asked = pb.ListInstallationsRequest(page_size=PAGE_SIZE, page_token=after, search=search)
    found = await visitor.services.installations.ListInstallations(asked)
    return page(
        request,
        "installations",
        installations=found.installations,
        next_page=found.next_page_token,
        search=search,
        me=visitor.user_id,
    )


@router.get("/installations/new")
async def ask_for_new(request: Request, _: SignedIn) -> Response:
    """Ask for what a new one is called, and where its clock is."""
    return _new(request)


@router.post("/installations/new")
async def create(
    request: Request,
    visitor: SignedIn,
    command_id: Text = "",
    name: Text = "",
    time_zone: Text = "",
) -> Response:
    """Create it; who does owns it."""
    asked = pb.CreateInstallationRequest(command_id=command_id, name=name, time_zone=time_zone)
    try:
        created = await visitor.services.installations.CreateInstallation(asked)
    except aio.AioRpcError as error:
        return _new(request, refusal_of(error), name, time_zone)
    return see(f"/installations/{created.installation_id}", "installation_created")


def _new(
    request: Request,
    refusal: Refusal | None = None,
    name: str = "",
    time_zone: str = "Europe/Oslo",
) -> Response:
    return page(
        request,
        "installation_new",
        refusal=refusal,
        name=name,
        time_zone=time_zone,
        time_zones=sorted(available_timezones()),
    )
