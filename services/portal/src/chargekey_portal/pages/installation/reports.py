"""`/installations/ID/reports`: who charged how much, where and when; as files, too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from grpc import aio

from chargekey.history.v1 import reports_pb2 as pb
from chargekey_common import local_days
from chargekey_common.errors import InvalidArgumentError
from chargekey_portal.charts import chart
from chargekey_portal.choosing import Chosen, offered
from chargekey_portal.downloads import attachment
from chargekey_portal.names import chargers, identifications, names
from chargekey_portal.periods import Parts, called, split
from chargekey_portal.refusals import Refusal, RefusedError, refusal_of
from chargekey_portal.rendering import page, said
from chargekey_portal.sites import AtSite, Site
from chargekey_portal.visitors import SignedIn, Visitor
from chargekey_portal.words import IDENTIFICATION, IDENTIFICATION_TYPES

REPORTS = "/installations/{installation_id}/reports"
# Rows of each part that a page shows; files have all.
MOST_ROWS = 100
FORMATS = {"csv": pb.REPORT_FORMAT_CSV, "xlsx": pb.REPORT_FORMAT_XLSX}

router = APIRouter()

Rows = Sequence[pb.ReportRow]


class Wanted(msgspec.Struct, frozen=True):
    """Which sessions: of the days from `since` to `until`, of a charger, of a user.

    A charger by its id, or as what was typed.
    """

    since: str = ""
    until: str = ""
    charger: str = ""
    user: str = ""
    ocpp_identity: str = ""


def _wanted(
    since: str = "", until: str = "", charger: str = "", user: str = "", ocpp_identity: str = ""
) -> Wanted:
    return Wanted(since, until, charger, user, ocpp_identity)


AsWanted = Annotated[Wanted, Depends(_wanted)]


@router.get(REPORTS)
async def report(
    request: Request, visitor: SignedIn, site: AtSite, asked_for: AsWanted
) -> Response:
    """Show it; for this year so far where no days are wanted."""
    today = datetime.now(site.zone).date()
    wanted = msgspec.structs.replace(
        asked_for,
        since=asked_for.since or f"{today.year}-01-01",
        until=asked_for.until or today.isoformat(),
    )
    made, refusal = pb.GetReportResponse(), None
    over_time = Parts()
    chosen = Chosen(wanted.charger, wanted.ocpp_identity)
    try:
        charger_id = await chosen.at(visitor, site.installation.id)
        wanted = msgspec.structs.replace(wanted, charger=charger_id)
        asked = _asked(site, wanted)
        days = date.fromisoformat(wanted.since), date.fromisoformat(wanted.until)
        over_time = split(*days, site.zone)
        asked.bounds.extend(over_time.bounds)
        made = await visitor.services.reports.GetReport(asked)
    except InvalidArgumentError as error:
        refusal = Refusal(HTTPStatus.BAD_REQUEST, error.code, str(error))
    except (aio.AioRpcError, RefusedError) as error:
        refusal = refusal_of(error)
    parts = {
        "per_charger": _most(made.chargers),
        "per_user": _most(made.users),
        "per_identification": _most(made.identifications),
        "without_user": _most(made.without_user),
    }
    spots, people, described = await _called(
        request,
        visitor,
        site,
        [*parts["per_charger"], *parts["without_user"]],
        parts["per_user"],
        parts["per_identification"],
    )
    return page(
        request,
        "installation/reports",
        refusal=refusal,
        site=site,
        report=made,
        parts=parts,
        energy=chart([each.energy_wh for each in made.periods]),
        sessions=chart([each.sessions for each in made.periods]),
        over_time=over_time,
        chargers=spots,
        offered=await offered(visitor, site.installation.id, wanted.charger),
        chosen=Chosen(wanted.charger, wanted.ocpp_identity),
        names=people,
        identifications=described,
        wanted=wanted,
    )


@router.get(REPORTS + "/report.{kind}")
async def export(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    wanted: AsWanted,
    kind: Literal["csv", "xlsx"],
) -> Response:
    """Send the same as a file, with the names that the page shows."""
    asked = _asked(site, wanted)
    made = await visitor.services.reports.GetReport(asked)
    known = [
        pb.ReportName(id=key, name=name)
        for part in await _called(
            request,
            visitor,
            site,
            [*made.chargers, *made.without_user],
            made.users,
            made.identifications,
        )
        for key, name in part.items()
    ]
    file = await visitor.services.reports.ExportReport(
        pb.ExportReportRequest(report=asked, format=FORMATS[kind], names=known)
    )
    days = called(wanted.since, wanted.until)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": attachment("sessions", site.installation.name, f"{days}.{kind}"),
    }
    return Response(file.content, headers=headers, media_type=file.media_type)


def _asked(site: Site, wanted: Wanted) -> pb.GetReportRequest:
    """Return what is asked of history; raises what `local_days` says of days that are none."""
    since, before = local_days.period(wanted.since, wanted.until, site.installation.time_zone)
    return pb.GetReportRequest(
        installation_id=site.installation.id,
        charger_id=wanted.charger,
        user_id=wanted.user,
        ended_since=since,
        ended_before=before,
    )


def _most(rows: Iterable[pb.ReportRow]) -> Rows:
    """Return those with the most energy, MOST_ROWS at most."""
    return sorted(rows, key=lambda each: -each.energy_wh)[:MOST_ROWS]


async def _called(
    request: Request, visitor: Visitor, site: Site, at: Rows, users: Rows, held: Rows
) -> Sequence[Mapping[str, str]]:
    """Return what these chargers are called, these users, and these identifications."""
    spots, people, described = await asyncio.gather(
        chargers(visitor, site.installation.id, (each.id for each in at)),
        names(visitor, site.installation.id, (each.id for each in users)),
        identifications(visitor, site.installation.id, (each.id for each in held)),
    )
    types = {key: said(request, word) for key, word in IDENTIFICATION_TYPES.items()}
    some = dict.fromkeys(filter(None, (each.id for each in held)), said(request, IDENTIFICATION))
    cards = {key: f"{each.holder_name}, {types[each.type]}" for key, each in described.items()}
    return spots, people, some | cards
