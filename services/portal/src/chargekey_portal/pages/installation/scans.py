"""`…/identifications/scan`: adding what is presented at a charger, without typing it (R16)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from grpc import aio

from chargekey.identity.v1 import identifications_pb2
from chargekey.identity.v1 import scans_pb2 as pb
from chargekey_portal.choosing import Chosen, IsChosen, offered
from chargekey_portal.forms import LARGEST, Text
from chargekey_portal.pages.installation.identifications import IDENTIFICATIONS
from chargekey_portal.people import AtPerson, Person
from chargekey_portal.refusals import Refusal, RefusedError, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.scanning import live_scan, scan_of, seconds_left
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

SCAN = f"{IDENTIFICATIONS}/scan/{{scan_id}}"
RFID = identifications_pb2.IDENTIFICATION_TYPE_RFID


@router.get(f"{IDENTIFICATIONS}/scan")
async def ask_for_charger(request: Request, visitor: SignedIn, person: AtPerson) -> Response:
    """Ask where it will be presented, and what it is."""
    return await _form(request, visitor, person)


@router.post(f"{IDENTIFICATIONS}/scan")
async def start(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    charger: IsChosen,
    command_id: Text = "",
    type_: Annotated[
        identifications_pb2.IdentificationType.ValueType, Form(alias="type", ge=0, le=LARGEST)
    ] = RFID,
) -> Response:
    """Wait for it from now on, and lead on to where that is seen."""
    site_id = person.site.installation.id
    try:
        asked = pb.StartScanRequest(
            command_id=command_id,
            user_id=person.user.id,
            charger_id=await charger.at(visitor, site_id),
            installation_id=site_id,
            type=type_,
        )
        started = await visitor.services.scans.StartScan(asked)
    except (aio.AioRpcError, RefusedError) as error:
        return await _form(request, visitor, person, refusal_of(error), charger, type_)
    return see(f"{person.path}/identifications/scan/{started.scan_id}")


@router.get(SCAN)
async def scan(request: Request, visitor: SignedIn, person: AtPerson, scan_id: str) -> Response:
    """Show how it goes."""
    found = await scan_of(visitor, scan_id)
    return page(
        request,
        "installation/scan",
        site=person.site,
        person=person,
        scan=found,
        scan_id=scan_id,
        seconds=seconds_left(found),
    )


@router.get(f"{SCAN}/live")
async def follow_scan(
    request: Request, visitor: SignedIn, person: AtPerson, scan_id: str
) -> Response:
    """Send how it goes whenever that is something else."""
    return live_scan(request, visitor, scan_id, "installation/scan_state", person=person)


@router.post(f"{SCAN}/cancel")
async def cancel(
    visitor: SignedIn,
    person: AtPerson,
    scan_id: str,
    command_id: Text = "",
) -> Response:
    """Wait no longer."""
    await visitor.services.scans.CancelScan(
        pb.CancelScanRequest(command_id=command_id, scan_id=scan_id)
    )
    return see(f"{person.path}/identifications", "scan_cancelled")


async def _form(
    request: Request,
    visitor: Visitor,
    person: Person,
    refusal: Refusal | None = None,
    charger: Chosen | None = None,
    type_: identifications_pb2.IdentificationType.ValueType = RFID,
) -> Response:
    charger = charger or Chosen()
    return page(
        request,
        "installation/scan_new",
        site=person.site,
        person=person,
        refusal=refusal,
        chargers=await offered(visitor, person.site.installation.id, charger.charger_id),
        charger=charger,
        type=type_,
    )
