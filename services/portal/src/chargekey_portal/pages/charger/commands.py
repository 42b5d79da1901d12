"""`/chargers/ID/commands`: what a connected charger is told to do.

A charger has up to 28 seconds to answer, and so has the page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.gateway.v1 import commands_pb2 as pb
from chargekey_portal.forms import Text, Ticked
from chargekey_portal.pages.charger.status import Connector
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import AtCharger, Spot
from chargekey_portal.visitors import SignedIn

router = APIRouter()

# Any of these is offered to whom all of them are: they have one rule.
_ALLOWED = "gateway.ResetCharger"
_DONE = frozenset({"accepted", "reboot_required"})
_PATH = "/chargers/{charger_id}/commands"


@router.get(_PATH)
async def commands(request: Request, spot: AtCharger) -> Response:
    """Show what can be told."""
    return _commands(request, spot)


@router.post(f"{_PATH}/reset")
async def reset(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Have it start again once nothing charges."""
    asked = pb.ResetChargerRequest(charger_id=spot.charger.id)
    answer = visitor.services.charger_commands.ResetCharger(asked)
    return await _told(request, spot, answer, "charger_resets")


@router.get(f"{_PATH}/reset-now")
async def ask_to_reset(request: Request, spot: AtCharger) -> Response:
    """Say what that ends."""
    spot.require(_ALLOWED)
    return page(request, "charger/reset", spot=spot)


@router.post(f"{_PATH}/reset-now")
async def reset_now(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Have it start again at once."""
    asked = pb.ResetChargerRequest(charger_id=spot.charger.id, at_once=True)
    answer = visitor.services.charger_commands.ResetCharger(asked)
    return await _told(request, spot, answer, "charger_resets")


@router.get(f"{_PATH}/disconnect")
async def ask_to_disconnect(request: Request, spot: AtCharger) -> Response:
    """Say what that is for."""
    spot.require(_ALLOWED)
    return page(request, "charger/disconnect", spot=spot)


@router.post(f"{_PATH}/disconnect")
async def disconnect(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Close its connection."""
    asked = pb.DisconnectChargerRequest(charger_id=spot.charger.id)
    try:
        await visitor.services.charger_commands.DisconnectCharger(asked)
    except aio.AioRpcError as error:
        return _commands(request, spot, refusal_of(error))
    return see(f"{spot.path}/commands", "charger_disconnected")


@router.post(f"{_PATH}/unlock")
async def unlock(
    request: Request, visitor: SignedIn, spot: AtCharger, connector: Connector = 1
) -> Response:
    """Have it let go of a cable."""
    asked = pb.UnlockConnectorRequest(charger_id=spot.charger.id, connector=connector)
    answer = visitor.services.charger_commands.UnlockConnector(asked)
    return await _told(request, spot, answer, "cable_unlocked")


@router.post(f"{_PATH}/availability")
async def change_availability(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    operative: Ticked = False,
    connector: Connector = 0,
) -> Response:
    """Let it serve vehicles, or none any more."""
    asked = pb.ChangeAvailabilityRequest(
        charger_id=spot.charger.id, operative=operative, connector=connector
    )
    answer = visitor.services.charger_commands.ChangeAvailability(asked)
    told = "charger_serves" if operative else "charger_serves_none"
    return await _told(request, spot, answer, told, {"Scheduled": "charger_serves_later"})


@router.post(f"{_PATH}/trigger")
async def trigger(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    message: Text = "",
    connector: Connector = 0,
) -> Response:
    """Have it send one of its messages now."""
    asked = pb.TriggerMessageRequest(
        charger_id=spot.charger.id, message=message, connector=connector
    )
    answer = visitor.services.charger_commands.TriggerMessage(asked)
    return await _told(request, spot, answer, "message_triggered", typed={"message": message})


@router.post(f"{_PATH}/clear-cache")
async def clear_cache(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Have it forget whom it accepted before."""
    asked = pb.ClearCacheRequest(charger_id=spot.charger.id)
    answer = visitor.services.charger_commands.ClearCache(asked)
    # What the standard has chargers without one answer.
    return await _told(request, spot, answer, "cache_cleared", {"Rejected": "cache_none"})


@router.post(f"{_PATH}/send")
async def send(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    action: Text = "",
    payload: Text = "",
) -> Response:
    """Send any other action, and show what is answered."""
    asked = pb.SendActionRequest(charger_id=spot.charger.id, action=action, payload=payload)
    typed = {"action": action, "payload": payload}
    try:
        answer = await visitor.services.charger_commands.SendAction(asked)
    except aio.AioRpcError as error:
        return _commands(request, spot, refusal_of(error), typed=typed)
    told = msgspec.json.format(answer.payload or "{}").strip()
    return _commands(request, spot, outcome=answer.outcome, answer=told, typed=typed)


async def _told(
    request: Request,
    spot: Spot,
    answering: Awaitable[Any],
    told: str,
    by_status: Mapping[str, str] | None = None,
    *,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """Tell what the charger answered: what it does by a sentence, the rest on the same page.

    `by_status` has sentences for words of the charger's that say more than that.
    """
    try:
        outcome: pb.CommandOutcome = (await answering).outcome
    except aio.AioRpcError as error:
        return _commands(request, spot, refusal_of(error), typed=typed)
    if by_status is not None and outcome.status in by_status:
        return see(f"{spot.path}/commands", by_status[outcome.status])
    if outcome.outcome in _DONE:
        return see(f"{spot.path}/commands", told)
    return _commands(request, spot, outcome=outcome, typed=typed)


def _commands(
    request: Request,
    spot: Spot,
    refusal: Refusal | None = None,
    *,
    outcome: pb.CommandOutcome | None = None,
    answer: str = "",
    typed: Mapping[str, str] | None = None,
) -> Response:
    spot.require(_ALLOWED)
    return page(
        request,
        "charger/commands",
        refusal=refusal,
        outcome=outcome,
        answer=answer,
        spot=spot,
        typed={"message": "StatusNotification", "action": "", "payload": "{}"} | dict(typed or {}),
    )
