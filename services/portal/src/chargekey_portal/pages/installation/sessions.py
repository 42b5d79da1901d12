"""`/installations/ID/sessions`: who charged, who charges, and who was refused."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from chargekey.history.v1 import history_pb2 as pb
from chargekey_portal.names import chargers, names
from chargekey_portal.rendering import page
from chargekey_portal.sites import PAGE_SIZE, AtSite
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/installations/{installation_id}/sessions")
async def sessions(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    user: str = "",
    running: bool = False,
    after: str = "",
) -> Response:
    """List sessions, the newest first."""
    asked = pb.ListSessionsRequest(
        installation_id=site.installation.id,
        user_id=user,
        running_only=running,
        page_size=PAGE_SIZE,
        page_token=after,
    )
    found = await visitor.services.history.ListSessions(asked)
    people, spots = await asyncio.gather(
        names(visitor, site.installation.id, [user, *(each.user_id for each in found.sessions)]),
        chargers(visitor, site.installation.id, (each.charger_id for each in found.sessions)),
    )
    return page(
        request,
        "installation/sessions",
        site=site,
        sessions=found.sessions,
        names=people,
        chargers=spots,
        user=user,
        running=running,
        next_page=found.next_page_token,
    )


@router.get("/installations/{installation_id}/refusals")
async def refusals(
    request: Request, visitor: SignedIn, site: AtSite, user: str = "", after: str = ""
) -> Response:
    """List what was refused, the newest first."""
    asked = pb.ListRefusalsRequest(
        installation_id=site.installation.id, user_id=user, page_size=PAGE_SIZE, page_token=after
    )
    found = await visitor.services.history.ListRefusals(asked)
    people, spots = await asyncio.gather(
        names(visitor, site.installation.id, [user, *(each.user_id for each in found.refusals)]),
        chargers(visitor, site.installation.id, (each.charger_id for each in found.refusals)),
    )
    return page(
        request,
        "installation/refusals",
        site=site,
        refusals=found.refusals,
        names=people,
        chargers=spots,
        user=user,
        next_page=found.next_page_token,
    )
