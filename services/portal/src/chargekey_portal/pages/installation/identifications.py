"""`…/local-users/USER/identifications`: what somebody presents, to whoever runs the site.

Of somebody with an account these are the ones that work at this installation alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Form, Request, Response
from grpc import aio

from chargekey.identity.v1 import identifications_pb2 as pb
from chargekey_portal.forms import LARGEST, Text, Ticked
from chargekey_portal.people import AtPerson, Person
from chargekey_portal.refusals import NOT_FOUND, Refusal, RefusedError, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor
from chargekey_portal.words import local_day

router = APIRouter()

IDENTIFICATIONS = "/installations/{installation_id}/local-users/{user_id}/identifications"
IDENTIFICATION = f"{IDENTIFICATIONS}/{{identification_id}}"
# Nobody has more.
MOST = 1000


class Entered(msgspec.Struct, frozen=True):
    """What the form says, without the code."""

    type: pb.IdentificationType.ValueType = pb.IDENTIFICATION_TYPE_PIN
    status: pb.IdentificationStatus.ValueType = pb.IDENTIFICATION_STATUS_ACTIVE
    # The last day, `YYYY-MM-DD`; empty for no end.
    valid_until: str = ""
    group: str = ""
    group_card: bool = False


def entered(
    type_: Annotated[
        pb.IdentificationType.ValueType, Form(alias="type", ge=0, le=LARGEST)
    ] = pb.IDENTIFICATION_TYPE_UNSPECIFIED,
    status: Annotated[
        pb.IdentificationStatus.ValueType, Form(ge=0, le=LARGEST)
    ] = pb.IDENTIFICATION_STATUS_ACTIVE,
    valid_until: Text = "",
    group: Text = "",
    group_card: Ticked = False,
) -> Entered:
    """Return what the form says."""
    return Entered(type_, status, valid_until, group, group_card)


IsEntered = Annotated[Entered, Depends(entered)]


async def identification(
    identification_id: str, visitor: SignedIn, person: AtPerson
) -> pb.Identification:
    """Return the one that the address names; raises RefusedError."""
    asked = pb.ListIdentificationsRequest(
        user_id=person.user.id, installation_id=person.site.installation.id, page_size=MOST
    )
    listed = await visitor.services.identifications.ListIdentifications(asked)
    for each in listed.identifications:
        if each.id == identification_id:
            return each
    raise RefusedError(NOT_FOUND)


Found = Annotated[pb.Identification, Depends(identification)]


@router.get(IDENTIFICATIONS)
async def identifications(
    request: Request, visitor: SignedIn, person: AtPerson, after: str = ""
) -> Response:
    """List them, by pages, without their codes."""
    return await _list(request, visitor, person, after)


@router.get(f"{IDENTIFICATIONS}/new")
async def ask_for_new(request: Request, person: AtPerson) -> Response:
    """Ask for what is added by hand."""
    return _new(request, person, Entered())


@router.post(f"{IDENTIFICATIONS}/new")
async def add(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    entered: IsEntered,
    command_id: Text = "",
    code: Text = "",
) -> Response:
    """Add it; it works from then on."""
    asked = pb.AddIdentificationRequest(
        command_id=command_id,
        user_id=person.user.id,
        type=entered.type,
        code=code,
        status=entered.status,
        valid_until=entered.valid_until,
        installation_id=person.site.installation.id,
        group=entered.group,
        group_card=entered.group_card,
    )
    try:
        await visitor.services.identifications.AddIdentification(asked)
    except aio.AioRpcError as error:
        return _new(request, person, entered, refusal_of(error))
    return see(f"{person.path}/identifications", "identification_added")


@router.post(f"{IDENTIFICATIONS}/new/pin")
async def offer_pin(
    request: Request, visitor: SignedIn, person: AtPerson, entered: IsEntered
) -> Response:
    """Put a PIN into the form that is free right now; it is nobody's yet."""
    asked = pb.GeneratePinsRequest(installation_id=person.site.installation.id)
    try:
        made = await visitor.services.identifications.GeneratePins(asked)
    except aio.AioRpcError as error:
        return _new(request, person, entered, refusal_of(error))
    pin = msgspec.structs.replace(entered, type=pb.IDENTIFICATION_TYPE_PIN)
    return _new(request, person, pin, pin=made.pins[0])


@router.get(IDENTIFICATION)
async def ask_for_change(request: Request, person: AtPerson, found: Found) -> Response:
    """Ask for what is to be otherwise."""
    ends = found.HasField("valid_until")
    zone = person.site.installation.time_zone
    now = Entered(
        found.type,
        found.status,
        local_day(found.valid_until, zone) if ends else "",
        found.group,
        found.group_card,
    )
    return _change(request, person, found, now)


@router.post(IDENTIFICATION)
async def change(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    found: Found,
    entered: IsEntered,
    command_id: Text = "",
    code: Text = "",
) -> Response:
    """Change it; without a code the one it has stays."""
    asked = pb.ChangeIdentificationRequest(
        command_id=command_id,
        identification_id=found.id,
        code=code or None,
        status=entered.status,
        valid_until=entered.valid_until,
        group=entered.group,
        group_card=entered.group_card,
    )
    try:
        await visitor.services.identifications.ChangeIdentification(asked)
    except aio.AioRpcError as error:
        return _change(request, person, found, entered, refusal_of(error))
    return see(f"{person.path}/identifications", "saved")


@router.post(f"{IDENTIFICATION}/reveal")
async def reveal(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    identification_id: str,
    command_id: Text = "",
) -> Response:
    """Show the code, this once; that somebody looked is recorded."""
    asked = pb.RevealCodeRequest(command_id=command_id, identification_id=identification_id)
    try:
        shown = await visitor.services.identifications.RevealCode(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, person, refusal=refusal_of(error))
    return await _list(request, visitor, person, revealed={identification_id: shown.code})


@router.get(f"{IDENTIFICATION}/remove")
async def ask_to_remove(request: Request, person: AtPerson, found: Found) -> Response:
    """Tell what would come of it."""
    return _removing(request, person, found)


@router.post(f"{IDENTIFICATION}/remove")
async def remove(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    found: Found,
    command_id: Text = "",
) -> Response:
    """Take it away for good."""
    asked = pb.RemoveIdentificationRequest(command_id=command_id, identification_id=found.id)
    try:
        await visitor.services.identifications.RemoveIdentification(asked)
    except aio.AioRpcError as error:
        return _removing(request, person, found, refusal_of(error))
    return see(f"{person.path}/identifications", "removed")


async def _list(
    request: Request,
    visitor: Visitor,
    person: Person,
    after: str = "",
    refusal: Refusal | None = None,
    revealed: Mapping[str, str] = {},
) -> Response:
    asked = pb.ListIdentificationsRequest(
        user_id=person.user.id,
        installation_id=person.site.installation.id,
        page_size=PAGE_SIZE,
        page_token=after,
    )
    found = await visitor.services.identifications.ListIdentifications(asked)
    return page(
        request,
        "installation/identifications",
        site=person.site,
        person=person,
        refusal=refusal,
        identifications=found.identifications,
        revealed=revealed,
        next_page=found.next_page_token,
    )


def _new(
    request: Request,
    person: Person,
    entered: Entered,
    refusal: Refusal | None = None,
    pin: str = "",
) -> Response:
    return page(
        request,
        "installation/identification_new",
        site=person.site,
        person=person,
        refusal=refusal,
        entered=entered,
        pin=pin,
    )


def _change(
    request: Request,
    person: Person,
    found: pb.Identification,
    entered: Entered,
    refusal: Refusal | None = None,
) -> Response:
    return page(
        request,
        "installation/identification",
        site=person.site,
        person=person,
        refusal=refusal,
        identification=found,
        entered=entered,
    )


def _removing(
    request: Request, person: Person, found: pb.Identification, refusal: Refusal | None = None
) -> Response:
    return page(
        request,
        "installation/identification_remove",
        site=person.site,
        person=person,
        refusal=refusal,
        identification=found,
    )
