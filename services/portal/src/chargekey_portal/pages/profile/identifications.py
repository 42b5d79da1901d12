"""`/profile/identifications`: what somebody presents at chargers, and adding to it by hand."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import identifications_pb2 as pb
from chargekey_portal.forms import Number, Text
from chargekey_portal.mine import me, my_installations
from chargekey_portal.refusals import NOT_FOUND, Refusal, RefusedError, refusal_of, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn

router = APIRouter()

HERE = "/profile/identifications"
# What is added by typing it; of bank cards only the reader knows the number.
_TYPED = (
    pb.IDENTIFICATION_TYPE_RFID,
    pb.IDENTIFICATION_TYPE_VEHICLE_ID,
    pb.IDENTIFICATION_TYPE_SMS,
)


@router.get(HERE)
async def identifications(request: Request, visitor: SignedIn, after: str = "") -> Response:
    """List them, by pages, without their codes."""
    return await _list(request, visitor, after=after)


@router.get(f"{HERE}/new")
async def ask_for_new(request: Request, visitor: SignedIn, what: int = _TYPED[0]) -> Response:
    """Ask for the number on the chip, or of what else it is."""
    if what not in _TYPED:
        raise RefusedError(NOT_FOUND)
    return await _new(request, visitor, what)


@router.post(f"{HERE}/new")
async def add(
    request: Request,
    visitor: SignedIn,
    command_id: Text = "",
    what: Number = _TYPED[0],
    code: Text = "",
    valid_until: Text = "",
    group: Text = "",
) -> Response:
    """Add it; it works wherever he may charge."""
    if what not in _TYPED:
        raise RefusedError(NOT_FOUND)
    asked = pb.AddIdentificationRequest(
        command_id=command_id,
        user_id=visitor.user_id,
        type=pb.IdentificationType.ValueType(what),
        code=code,
        valid_until=valid_until,
        group=group,
    )
    refusal = await why_refused(visitor.services.identifications.AddIdentification(asked))
    if refusal is None:
        return see(HERE, "identification_added")
    return await _new(request, visitor, what, refusal, valid_until, group)


@router.get(f"{HERE}/pin")
async def ask_for_pin(request: Request, visitor: SignedIn) -> Response:
    """Ask for a PIN, and the installation that it is to work at."""
    return await _pin(request, visitor)


@router.post(f"{HERE}/pin/suggested")
async def suggest_pin(request: Request, visitor: SignedIn, installation_id: Text = "") -> Response:
    """Think of one that is free there; it is nobody's before it is saved."""
    asked = pb.GeneratePinsRequest(installation_id=installation_id)
    try:
        made = await visitor.services.identifications.GeneratePins(asked)
    except aio.AioRpcError as error:
        return await _pin(request, visitor, refusal_of(error), installation_id)
    return await _pin(request, visitor, None, installation_id, suggested=made.pins[0])


@router.post(f"{HERE}/pin")
async def add_pin(
    request: Request,
    visitor: SignedIn,
    command_id: Text = "",
    installation_id: Text = "",
    code: Text = "",
    valid_until: Text = "",
) -> Response:
    """Add it; it works at that installation."""
    asked = pb.AddIdentificationRequest(
        command_id=command_id,
        user_id=visitor.user_id,
        type=pb.IDENTIFICATION_TYPE_PIN,
        code=code,
        valid_until=valid_until,
        installation_id=installation_id,
    )
    refusal = await why_refused(visitor.services.identifications.AddIdentification(asked))
    if refusal is None:
        return see(HERE, "identification_added")
    return await _pin(request, visitor, refusal, installation_id, valid_until=valid_until)


@router.post(f"{HERE}/{{identification_id}}/status")
async def set_status(
    request: Request,
    visitor: SignedIn,
    identification_id: str,
    command_id: Text = "",
    status: Number = 0,
) -> Response:
    """Let it work, or not."""
    asked = pb.ChangeIdentificationRequest(
        command_id=command_id,
        identification_id=identification_id,
        status=pb.IdentificationStatus.ValueType(status),
    )
    refusal = await why_refused(visitor.services.identifications.ChangeIdentification(asked))
    return see(HERE, "saved") if refusal is None else await _list(request, visitor, refusal)


@router.post(f"{HERE}/{{identification_id}}/reveal")
async def reveal(
    request: Request,
    visitor: SignedIn,
    identification_id: str,
    command_id: Text = "",
) -> Response:
    """Show its code this once; that he looked is recorded."""
    asked = pb.RevealCodeRequest(command_id=command_id, identification_id=identification_id)
    try:
        revealed = await visitor.services.identifications.RevealCode(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, refusal_of(error))
    return page(request, "profile/code", code=revealed.code)


@router.get(f"{HERE}/{{identification_id}}/remove")
async def ask_to_remove(request: Request, _: SignedIn) -> Response:
    """Ask whether that is meant."""
    return _remove(request)


@router.post(f"{HERE}/{{identification_id}}/remove")
async def remove(
    request: Request,
    visitor: SignedIn,
    identification_id: str,
    command_id: Text = "",
) -> Response:
    """Take it away for good."""
    asked = pb.RemoveIdentificationRequest(
        command_id=command_id, identification_id=identification_id
    )
    refusal = await why_refused(visitor.services.identifications.RemoveIdentification(asked))
    return see(HERE, "removed") if refusal is None else _remove(request, refusal)


async def _list(
    request: Request, visitor: SignedIn, refusal: Refusal | None = None, after: str = ""
) -> Response:
    asked = pb.ListIdentificationsRequest(
        user_id=visitor.user_id, page_size=PAGE_SIZE, page_token=after
    )
    found, user, sites = await asyncio.gather(
        visitor.services.identifications.ListIdentifications(asked),
        me(visitor),
        my_installations(visitor),
    )
    return page(
        request,
        "profile/identifications",
        refusal=refusal,
        identifications=found.identifications,
        next_page=found.next_page_token,
        sites=sites,
        zone=user.time_zone,
        app=pb.IDENTIFICATION_TYPE_APP,
    )


async def _new(
    request: Request,
    visitor: SignedIn,
    what: int,
    refusal: Refusal | None = None,
    valid_until: str = "",
    group: str = "",
) -> Response:
    return page(
        request,
        "profile/identification_new",
        refusal=refusal,
        what=what,
        typed=_TYPED,
        valid_until=valid_until,
        group=group,
        zone=(await me(visitor)).time_zone,
    )


async def _pin(
    request: Request,
    visitor: SignedIn,
    refusal: Refusal | None = None,
    installation_id: str = "",
    suggested: str = "",
    valid_until: str = "",
) -> Response:
    return page(
        request,
        "profile/pin_new",
        refusal=refusal,
        sites=[
            each
            for each in (await my_installations(visitor)).values()
            # Not where he is offered the ownership alone.
            if each.HasField("policies") or not each.ownership_offered_to
        ],
        installation_id=installation_id,
        suggested=suggested,
        valid_until=valid_until,
    )


def _remove(request: Request, refusal: Refusal | None = None) -> Response:
    return page(request, "profile/identification_remove", refusal=refusal)
