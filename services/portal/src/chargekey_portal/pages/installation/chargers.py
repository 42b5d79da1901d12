"""`/installations/ID`: its chargers, as they are at this moment and as they change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from grpc import aio

from chargekey.access.v1 import chargers_pb2 as pb
from chargekey.gateway.v1 import gateway_pb2
from chargekey_portal.forms import Text
from chargekey_portal.live import live
from chargekey_portal.mine import my_chargers
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, rendered
from chargekey_portal.sites import PAGE_SIZE, AtSite, Site, states
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()


@router.get("/installations/{installation_id}")
async def chargers(
    request: Request, visitor: SignedIn, site: AtSite, search: str = "", after: str = ""
) -> Response:
    """List them, by pages."""
    asked = pb.ListChargersRequest(
        installation_id=site.installation.id, page_size=PAGE_SIZE, page_token=after, search=search
    )
    found = await visitor.services.chargers.ListChargers(asked)
    now, mine = await _as_they_are(visitor, site, found.chargers)
    return page(
        request,
        "installation/chargers",
        site=site,
        chargers=found.chargers,
        states=now,
        mine=mine,
        next_page=found.next_page_token,
        search=search,
    )


@router.get("/installations/{installation_id}/chargers/live")
async def live_chargers(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    charger: Annotated[list[str], Query()],
) -> Response:
    """Send marks and state of each of these chargers of a page whenever they are other ones."""
    asked = pb.ListChargersRequest(
        installation_id=site.installation.id, charger_ids=charger, page_size=len(charger)
    )

    async def look() -> Mapping[str, str]:
        shown = (await visitor.services.chargers.ListChargers(asked)).chargers
        now, mine = await _as_they_are(visitor, site, shown)
        return {
            f"{part} {each.id}": rendered(
                request, part, charger=each, state=now.get(each.id), usable=mine.get(each.id)
            )
            for each in shown
            for part in ("charger/lock", "charger/key", "charger/state")
        }

    return live(request, look)


@router.get("/installations/{installation_id}/chargers/new")
async def ask_for_new(request: Request, site: AtSite) -> Response:
    """Ask for the name that the charger connects under."""
    site.require("access.AddCharger")
    return _new(request, site)


@router.post("/installations/{installation_id}/chargers/new")
async def add(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    ocpp_identity: Text = "",
) -> Response:
    """Add it, and show its password this once."""
    asked = pb.AddChargerRequest(
        command_id=command_id, installation_id=site.installation.id, ocpp_identity=ocpp_identity
    )
    try:
        added = await visitor.services.chargers.AddCharger(asked)
    except aio.AioRpcError as error:
        return _new(request, site, refusal_of(error), ocpp_identity)
    return page(
        request,
        "installation/charger_password",
        site=site,
        charger_id=added.charger_id,
        ocpp_identity=ocpp_identity,
        password=added.password,
        ocpp_url=request.app.state.settings.ocpp_url,
    )


async def _as_they_are(
    visitor: Visitor, site: Site, shown: Iterable[pb.Charger]
) -> tuple[Mapping[str, gateway_pb2.ChargerState], Mapping[str, pb.UsableCharger]]:
    """Return how these chargers are, and those of them that the visitor can use."""
    ids = [each.id for each in shown]
    if not ids:
        return {}, {}  # and not those of all
    asked = gateway_pb2.ListChargerStatesRequest(
        installation_id=site.installation.id, charger_ids=ids
    )
    return await asyncio.gather(states(visitor, asked, ids), my_chargers(visitor, ids))


def _new(
    request: Request, site: Site, refusal: Refusal | None = None, ocpp_identity: str = ""
) -> Response:
    return page(
        request,
        "installation/charger_new",
        refusal=refusal,
        site=site,
        ocpp_identity=ocpp_identity,
    )
