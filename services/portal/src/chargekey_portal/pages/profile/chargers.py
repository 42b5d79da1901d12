"""`/profile/chargers`: where somebody can charge, how it is there, and charging by the app."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import commands_pb2, gateway_pb2
from chargekey.history.v1 import history_pb2
from chargekey_portal.forms import Number, Text
from chargekey_portal.live import live
from chargekey_portal.mine import MOST, me, my_chargers
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, rendered, see
from chargekey_portal.sites import states
from chargekey_portal.visitors import SignedIn, Visitor
from chargekey_portal.words import OUTCOMES

router = APIRouter()

HERE = "/profile/chargers"
# A driver may hold a charger and not its site, so each is asked for how it is by itself.
CHARGERS = 20
_DONE = ("accepted", "reboot_required")


@router.get(HERE)
async def chargers(
    request: Request, visitor: SignedIn, search: str = "", after: str = ""
) -> Response:
    """List them, by pages, with a key where something must be presented."""
    return await _list(request, visitor, search=search, after=after)


@router.get(f"{HERE}/live")
async def live_chargers(
    request: Request,
    visitor: SignedIn,
    charger: Annotated[list[str], Query()],
) -> Response:
    """Send what is another one of these chargers of a page: key, state, what he charges there."""
    zone = (await me(visitor)).time_zone

    async def look() -> Mapping[str, str]:
        found, sessions = await asyncio.gather(my_chargers(visitor, charger), _running(visitor))
        shown = found.values()
        now = await _states(visitor, shown)
        return {
            f"{part} {each.charger.id}": rendered(
                request,
                part,
                usable=each,
                charger=each.charger,
                state=now.get(each.charger.id),
                session=sessions.get(each.charger.id),
                zone=zone,
            )
            for each in shown
            for part in ("profile/key", "charger/state", "profile/session")
        }

    return live(request, look)


@router.post(f"{HERE}/{{charger_id}}/start")
async def start(
    request: Request,
    visitor: SignedIn,
    charger_id: str,
    connector: Number = 0,
) -> Response:
    """Start a session as if he had presented his app at the charger."""
    asked = commands_pb2.StartSessionRequest(charger_id=charger_id, connector=connector)
    try:
        answer = await visitor.services.charger_commands.StartSession(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, refusal_of(error))
    return await _told(request, visitor, answer.outcome, "charger_starts")


@router.post(f"{HERE}/{{charger_id}}/stop")
async def stop(
    request: Request,
    visitor: SignedIn,
    charger_id: str,  # noqa: ARG001 - of the address
    session_id: Text = "",
) -> Response:
    """Have the charger stop his session."""
    asked = commands_pb2.StopSessionRequest(session_id=session_id)
    try:
        answer = await visitor.services.charger_commands.StopSession(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, refusal_of(error))
    return await _told(request, visitor, answer.outcome, "charger_stops")


async def _told(
    request: Request, visitor: Visitor, outcome: commands_pb2.CommandOutcome, done: str
) -> Response:
    if outcome.outcome in _DONE:
        return see(HERE, done)
    refusal = Refusal(HTTPStatus.CONFLICT, "command_refused", OUTCOMES[outcome.outcome])
    return await _list(request, visitor, refusal)


async def _list(
    request: Request,
    visitor: Visitor,
    refusal: Refusal | None = None,
    *,
    search: str = "",
    after: str = "",
) -> Response:
    asked = chargers_pb2.ListUsableChargersRequest(
        page_size=CHARGERS, page_token=after, search=search
    )
    found, sessions, user = await asyncio.gather(
        visitor.services.chargers.ListUsableChargers(asked), _running(visitor), me(visitor)
    )
    return page(
        request,
        "profile/chargers",
        refusal=refusal,
        chargers=found.chargers,
        search=search,
        next_page=found.next_page_token,
        states=await _states(visitor, found.chargers),
        sessions=sessions,
        zone=user.time_zone,
    )


async def _states(
    visitor: Visitor, chargers: Iterable[chargers_pb2.UsableCharger]
) -> Mapping[str, gateway_pb2.ChargerState]:
    ids = [each.charger.id for each in chargers]
    answers = await asyncio.gather(
        *(
            states(visitor, gateway_pb2.ListChargerStatesRequest(charger_id=each), [each])
            for each in ids
        )
    )
    return {key: state for answer in answers for key, state in answer.items()}


async def _running(visitor: Visitor) -> Mapping[str, history_pb2.Session]:
    """Return his running sessions by their chargers."""
    asked = history_pb2.ListSessionsRequest(
        user_id=visitor.user_id, running_only=True, page_size=MOST
    )
    found = await visitor.services.history.ListSessions(asked)
    return {each.charger_id: each for each in found.sessions}
