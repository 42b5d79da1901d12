"""`/profile/scans`: adding what somebody presents at a charger instead of typing its number."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import identifications_pb2, scans_pb2
from chargekey_portal.forms import Number, Text
from chargekey_portal.mine import my_chargers
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.scanning import live_scan, scan_of, seconds_left
from chargekey_portal.visitors import SignedIn

router = APIRouter()

_SCANNED = (
    identifications_pb2.IDENTIFICATION_TYPE_RFID,
    identifications_pb2.IDENTIFICATION_TYPE_CREDIT_CARD,
    identifications_pb2.IDENTIFICATION_TYPE_VEHICLE_ID,
)


@router.get("/profile/scans/new")
async def ask_for_charger(request: Request, visitor: SignedIn) -> Response:
    """Ask at which charger he stands."""
    return await _new(request, visitor)


@router.post("/profile/scans/new")
async def start(
    request: Request,
    visitor: SignedIn,
    command_id: Text = "",
    charger_id: Text = "",
    what: Number = _SCANNED[0],
) -> Response:
    """Wait for a minute for what is presented there."""
    asked = scans_pb2.StartScanRequest(
        command_id=command_id,
        user_id=visitor.user_id,
        charger_id=charger_id,
        type=identifications_pb2.IdentificationType.ValueType(what),
    )
    try:
        started = await visitor.services.scans.StartScan(asked)
    except aio.AioRpcError as error:
        return await _new(request, visitor, refusal_of(error), charger_id, what)
    return see(f"/profile/scans/{started.scan_id}")


@router.get("/profile/scans/{scan_id}")
async def scan(request: Request, visitor: SignedIn, scan_id: str) -> Response:
    """Show how far it is."""
    found = await scan_of(visitor, scan_id)
    return page(request, "profile/scan", scan=found, scan_id=scan_id, seconds=seconds_left(found))


@router.get("/profile/scans/{scan_id}/live")
async def follow_scan(request: Request, visitor: SignedIn, scan_id: str) -> Response:
    """Send how far it is whenever that is another thing."""
    return live_scan(request, visitor, scan_id, "profile/scan_state")


@router.post("/profile/scans/{scan_id}/cancel")
async def cancel(visitor: SignedIn, scan_id: str, command_id: Text = "") -> Response:
    """Wait no longer."""
    asked = scans_pb2.CancelScanRequest(command_id=command_id, scan_id=scan_id)
    await visitor.services.scans.CancelScan(asked)
    return see(f"/profile/scans/{scan_id}")


async def _new(
    request: Request,
    visitor: SignedIn,
    refusal: Refusal | None = None,
    charger_id: str = "",
    what: int = _SCANNED[0],
) -> Response:
    return page(
        request,
        "profile/scan_new",
        refusal=refusal,
        chargers=(await my_chargers(visitor)).values(),
        charger_id=charger_id,
        what=what,
        scanned=_SCANNED,
    )
