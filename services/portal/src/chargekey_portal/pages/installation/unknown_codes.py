"""`…/identifications/recent-refusals`: giving somebody what was presented and is nobody's (R16)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.identity.v1 import scans_pb2 as pb
from chargekey_portal import names
from chargekey_portal.forms import Text
from chargekey_portal.pages.installation.identifications import IDENTIFICATIONS
from chargekey_portal.people import AtPerson, Person
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

UNKNOWN_CODES = f"{IDENTIFICATIONS}/recent-refusals"


@router.get(UNKNOWN_CODES)
async def unknown_codes(
    request: Request, visitor: SignedIn, person: AtPerson, after: str = ""
) -> Response:
    """List when and where, by pages, and never what."""
    return await _list(request, visitor, person, after)


@router.post(f"{UNKNOWN_CODES}/{{unknown_code_id}}")
async def add(
    request: Request,
    visitor: SignedIn,
    person: AtPerson,
    unknown_code_id: str,
    command_id: Text = "",
) -> Response:
    """Give him one of these."""
    asked = pb.AddFromUnknownCodeRequest(
        command_id=command_id,
        unknown_code_id=unknown_code_id,
        user_id=person.user.id,
        installation_id=person.site.installation.id,
    )
    try:
        await visitor.services.scans.AddFromUnknownCode(asked)
    except aio.AioRpcError as error:
        return await _list(request, visitor, person, refusal=refusal_of(error))
    return see(f"{person.path}/identifications", "identification_added")


async def _list(
    request: Request,
    visitor: Visitor,
    person: Person,
    after: str = "",
    refusal: Refusal | None = None,
) -> Response:
    asked = pb.ListUnknownCodesRequest(
        installation_id=person.site.installation.id, page_size=PAGE_SIZE, page_token=after
    )
    found = await visitor.services.scans.ListUnknownCodes(asked)
    return page(
        request,
        "installation/unknown_codes",
        site=person.site,
        person=person,
        refusal=refusal,
        unknown_codes=found.unknown_codes,
        chargers=await names.chargers(
            visitor, person.site.installation.id, (each.charger_id for each in found.unknown_codes)
        ),
        next_page=found.next_page_token,
    )
