"""`/chargers/ID`: how a charger is, as it changes, and charging there as oneself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import commands_pb2, gateway_pb2
from chargekey.history.v1 import history_pb2
from chargekey_portal.live import live
from chargekey_portal.names import names
from chargekey_portal.refusals import Refusal, is_away, refusal_of
from chargekey_portal.rendering import page, rendered, see
from chargekey_portal.sites import PAGE_SIZE, AtCharger, Spot, states
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

# A connector's number as forms send it; 0 for the charger's own choice, or all of it.
Connector = Annotated[int, Form(ge=0, lt=2**31)]


@router.get("/chargers/{charger_id}")
async def charger(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Show it, with what charges there."""
    return await _status(request, visitor, spot)


@router.get("/chargers/{charger_id}/live")
async def live_charger(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Send lock and state whenever they are other ones."""

    async def look() -> Mapping[str, str]:
        return await head(request, visitor, spot)

    return live(request, look)


@router.get("/chargers/{charger_id}/status/live")
async def live_status(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Send the same, and what charges there."""

    async def look() -> Mapping[str, str]:
        above, sessions = await asyncio.gather(
            head(request, visitor, spot), _running(visitor, spot)
        )
        shown = rendered(request, "charger/running", **await _words(visitor, spot, sessions))
        return {**above, "running": shown}

    return live(request, look)


@router.post("/chargers/{charger_id}/start")
async def start(
    request: Request, visitor: SignedIn, spot: AtCharger, connector: Connector = 0
) -> Response:
    """Have it start as whoever asks, as if he had presented something there."""
    asked = commands_pb2.StartSessionRequest(charger_id=spot.charger.id, connector=connector)
    try:
        answer = await visitor.services.charger_commands.StartSession(asked)
    except aio.AioRpcError as error:
        return await _status(request, visitor, spot, refusal=refusal_of(error))
    if answer.outcome.outcome == "accepted":
        return see(spot.path, "charger_starts")
    return await _status(request, visitor, spot, outcome=answer.outcome)


@router.post("/chargers/{charger_id}/sessions/{session_id}/stop")
async def stop(request: Request, visitor: SignedIn, spot: AtCharger, session_id: str) -> Response:
    """Have it stop a session."""
    asked = commands_pb2.StopSessionRequest(session_id=session_id)
    try:
        answer = await visitor.services.charger_commands.StopSession(asked)
    except aio.AioRpcError as error:
        return await _status(request, visitor, spot, refusal=refusal_of(error))
    if answer.outcome.outcome == "accepted":
        return see(spot.path, "charger_stops")
    return await _status(request, visitor, spot, outcome=answer.outcome)


@router.get("/chargers/{charger_id}/sessions/{session_id}/end")
async def ask_to_end(request: Request, spot: AtCharger, session_id: str) -> Response:
    """Say what it means to end a session in the books."""
    return page(request, "charger/session_end", spot=spot, session_id=session_id, refusal=None)


@router.post("/chargers/{charger_id}/sessions/{session_id}/end")
async def end(request: Request, visitor: SignedIn, spot: AtCharger, session_id: str) -> Response:
    """End it there."""
    asked = commands_pb2.EndSessionRequest(session_id=session_id)
    try:
        await visitor.services.charger_commands.EndSession(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        return page(
            request, "charger/session_end", spot=spot, session_id=session_id, refusal=refusal
        )
    return see(spot.path, "session_ended")


async def head(request: Request, visitor: Visitor, spot: Spot) -> Mapping[str, str]:
    """Return the parts that every page of a charger has above it, as they are now."""
    key = spot.charger.id
    asked = gateway_pb2.ListChargerStatesRequest(charger_id=key)
    now, found = await asyncio.gather(
        visitor.services.chargers.GetCharger(chargers_pb2.GetChargerRequest(charger_id=key)),
        states(visitor, asked, [key]),
    )
    return {
        "lock": rendered(request, "charger/lock", charger=now.charger),
        "state": rendered(request, "charger/state", charger=now.charger, state=found.get(key)),
    }


async def _status(
    request: Request,
    visitor: Visitor,
    spot: Spot,
    *,
    refusal: Refusal | None = None,
    outcome: commands_pb2.CommandOutcome | None = None,
) -> Response:
    return page(
        request,
        "charger/status",
        refusal=refusal,
        outcome=outcome,
        **await _words(visitor, spot, await _running(visitor, spot)),
    )


async def _words(
    visitor: Visitor, spot: Spot, sessions: Sequence[history_pb2.Session] | None
) -> Mapping[str, object]:
    who = [each.user_id for each in sessions or ()]
    return {
        "spot": spot,
        "sessions": sessions,
        "names": await names(visitor, spot.installation.id, who),
        "me": visitor.user_id,
    }


async def _running(visitor: Visitor, spot: Spot) -> Sequence[history_pb2.Session] | None:
    """Return what runs there: all of it to whom may know, else his own.

    None where it cannot be told at the moment. Of what others do, who may only look after the
    charger has nothing but ids.
    """
    all_of_them = "history.ListSessions" in spot.may
    asked = history_pb2.ListSessionsRequest(
        charger_id=spot.charger.id if all_of_them else "",
        user_id="" if all_of_them else visitor.user_id,
        running_only=True,
        page_size=PAGE_SIZE,
    )
    try:
        told = (await visitor.services.history.ListSessions(asked)).sessions
        found = [each for each in told if each.charger_id == spot.charger.id]
        if all_of_them or "gateway.ListRunningSessions" not in spot.may:
            return found
        here = gateway_pb2.ListRunningSessionsRequest(charger_id=spot.charger.id)
        ids = (await visitor.services.gateway.ListRunningSessions(here)).session_ids
    except aio.AioRpcError as error:
        if not is_away(error):
            raise
        return None
    known = {each.id for each in found}
    return [*found, *(history_pb2.Session(id=each) for each in ids if each not in known)]
