"""`/profile/sessions` and `/profile/refusals`: somebody's own past, each with why."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from chargekey.history.v1 import history_pb2 as pb
from chargekey_portal.mine import me, my_chargers
from chargekey_portal.rendering import page
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn

router = APIRouter()


@router.get("/profile/sessions")
async def sessions(request: Request, visitor: SignedIn, after: str = "") -> Response:
    """List what he charged, the newest first."""
    asked = pb.ListSessionsRequest(user_id=visitor.user_id, page_size=PAGE_SIZE, page_token=after)
    found, chargers, user = await asyncio.gather(
        visitor.services.history.ListSessions(asked), my_chargers(visitor), me(visitor)
    )
    return page(
        request,
        "profile/sessions",
        sessions=found.sessions,
        next_page=found.next_page_token,
        chargers=chargers,
        zone=user.time_zone,
    )


@router.get("/profile/refusals")
async def refusals(request: Request, visitor: SignedIn, after: str = "") -> Response:
    """List what he was refused, the newest first."""
    asked = pb.ListRefusalsRequest(user_id=visitor.user_id, page_size=PAGE_SIZE, page_token=after)
    found, chargers, user = await asyncio.gather(
        visitor.services.history.ListRefusals(asked), my_chargers(visitor), me(visitor)
    )
    return page(
        request,
        "profile/refusals",
        refusals=found.refusals,
        next_page=found.next_page_token,
        chargers=chargers,
        zone=user.time_zone,
    )
