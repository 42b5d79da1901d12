"""`/installations/ID/people`: its people as a table, written and read as CSV."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, UploadFile
from grpc import aio

from chargekey.identity.v1 import people_pb2 as pb
from chargekey_portal.forms import Text, Ticked
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import AtSite, Site
from chargekey_portal.visitors import SignedIn

router = APIRouter()

PEOPLE = "/installations/{installation_id}/people"
# Seconds; some thousand people take more than a call usually has.
LONGEST_IMPORT = 30.0


@router.get(PEOPLE)
async def people(request: Request, site: AtSite) -> Response:
    """Ask for a file, and offer one."""
    site.require("identity.ExportPeople", "identity.ImportPeople")
    return _table(request, site)


@router.post(f"{PEOPLE}/export")
async def export(
    visitor: SignedIn,
    site: AtSite,
    command_id: Text = "",
    with_codes: Ticked = False,
) -> Response:
    """Return them as a file; codes are recorded as revealed."""
    asked = pb.ExportPeopleRequest(
        command_id=command_id, installation_id=site.installation.id, with_codes=with_codes
    )
    exported = await visitor.services.people.ExportPeople(asked)
    return Response(
        exported.csv,
        media_type="text/csv; charset=utf-8",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="people.csv"',
        },
    )


@router.post(f"{PEOPLE}/import")
async def import_(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    csv: UploadFile,
    command_id: Text = "",
    dry_run: Ticked = False,
) -> Response:
    """Do all of its lines or none; in a dry run none, and tell what would become of each."""
    asked = pb.ImportPeopleRequest(
        command_id=command_id,
        installation_id=site.installation.id,
        csv=await csv.read(),
        dry_run=dry_run,
    )
    try:
        answer = await visitor.services.people.ImportPeople(asked, timeout=LONGEST_IMPORT)
    except aio.AioRpcError as error:
        return _table(request, site, refusal_of(error))
    if answer.imported:
        return see(f"{site.path}/local-users", "people_imported")
    return _table(request, site, answer=answer, dry_run=dry_run)


def _table(
    request: Request,
    site: Site,
    refusal: Refusal | None = None,
    answer: pb.ImportPeopleResponse | None = None,
    *,
    dry_run: bool = False,
) -> Response:
    return page(
        request,
        "installation/people_table",
        site=site,
        refusal=refusal,
        lines=answer.lines if answer else (),
        refused=[each for each in answer.lines if each.refusal_code] if answer else (),
        checked=dry_run,
    )
