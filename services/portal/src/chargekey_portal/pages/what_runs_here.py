"""`/status`: each service and whether it serves, where chargers connect, the first steps."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response

from chargekey_portal.rendering import document, page
from chargekey_portal.services import Service, Services
from chargekey_portal.settings import PortalSettings

# What the gateway serves at that one address, as its README says.
OCPP_VERSIONS = ("1.6", "2.0.1", "2.1")

router = APIRouter()


class Status(msgspec.Struct, frozen=True):
    """What runs here: each service, and where chargers connect."""

    services: tuple[Service, ...]
    ocpp: str


@router.api_route("/status", methods=["GET", "HEAD"])
async def what_runs_here(request: Request) -> Response:
    """Show how everything is at this moment."""
    told = await _status(request)
    return page(
        request,
        "what_runs_here",
        services=told.services,
        ocpp_url=told.ocpp,
        ocpp_versions=OCPP_VERSIONS,
    )


@router.api_route("/api/v1/status", methods=["GET", "HEAD"])
async def status(request: Request) -> Response:
    """Tell the same as JSON."""
    return document(await _status(request))


async def _status(request: Request) -> Status:
    services: Services = request.app.state.services
    settings: PortalSettings = request.app.state.settings
    return Status(await services.ask(), settings.ocpp_url)
