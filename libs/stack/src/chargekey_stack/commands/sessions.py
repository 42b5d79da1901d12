"""`chargekey sessions`: who charged, and who charges now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chargekey.access.v1 import installations_pb2
from chargekey.history.v1 import history_pb2 as pb
from chargekey.history.v1 import reports_pb2
from chargekey_common import local_days
from chargekey_stack.answers import Answer, Document, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import FileUnwritableError
from chargekey_stack.names import Names
from chargekey_stack.options import (
    Before,
    Installation,
    Limit,
    OptionalCharger,
    OptionalInstallation,
    OptionalUser,
)
from chargekey_stack.paging import newest

_COLUMNS = (
    "started_at",
    "ended_at",
    "end_reason",
    "energy_wh",
    "transaction_id",
    "charger",
    "user",
    "notes",
    "id",
)
_PARTS = ("chargers", "users", "identifications", "without_user")

app = group("sessions", "Who charged, and who charges now.")


@command(app, "list", "chargekey sessions list --charger CP-1 --running")
async def list_(
    client: Client,
    *,
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
    user: OptionalUser = None,
    running: Annotated[bool, typer.Option("--running", help="Only those that run.")] = False,
    limit: Limit = 100,
    before: Before = "",
) -> Answer:
    """List sessions, the newest first: your own, unless you say of what."""
    request = pb.ListSessionsRequest(
        installation_id=installation or "",
        charger_id="" if charger is None else (await client.charger(charger)).id,
        user_id=user or client.mine(installation, charger),
        running_only=running,
        page_token=before,
    )
    found, cursor = await newest(client.history.ListSessions, request, "sessions", limit)
    names = await Names.about(client, found)
    rows = [{**document(each), **names.of(each)} for each in found]
    if client.for_people:
        rows = [{**row, "notes": _notes(each)} for row, each in zip(rows, found, strict=True)]
    return table("sessions", rows, _COLUMNS if client.for_people else (), cursor)


def document(session: pb.Session) -> Document:
    """Return a session as it is shown."""
    over, updated = session.HasField("ended_at"), session.HasField("last_updated_at")
    return {
        "id": session.id,
        "transaction_id": session.transaction_id,
        "installation_id": session.installation_id,
        "charger_id": session.charger_id,
        "connector": session.connector,
        "user_id": session.user_id or None,
        "identification_id": session.identification_id or None,
        "reason": session.reason,
        "started_at": instant(session.started_at),
        "ended_at": instant(session.ended_at) if over else None,
        "end_reason": session.end_reason or None,
        "energy_wh": session.energy_wh if session.HasField("energy_wh") else None,
        "power_w": session.power_w if session.HasField("power_w") else None,
        "last_updated_at": instant(session.last_updated_at) if updated else None,
        "offline": session.offline,
        "presumed": session.presumed,
        "messages_missing": session.messages_missing,
        "ocpp_transaction_id": session.ocpp_transaction_id or None,
    }


def _notes(session: pb.Session) -> list[str]:
    """Return what people should know of a session, in words."""
    notes = []
    if session.offline:
        notes.append("began offline")
    if session.presumed:
        notes.append("end presumed")
    if session.messages_missing:
        notes.append(f"{session.messages_missing} messages missing")
    if session.HasField("power_w") and not session.HasField("ended_at"):
        notes.append(f"draws {session.power_w} W")
    return notes


@command(
    app, "report", "chargekey sessions report --installation 3f0c... --from 2026-03-01 --csv r.csv"
)
async def report(
    client: Client,
    *,
    installation: Installation,
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="YYYY-MM-DD", help="The first day, in the installation's time zone."
        ),
    ] = "",
    to: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day.")] = "",
    charger: OptionalCharger = None,
    user: OptionalUser = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write it as one table.")
    ] = None,
    xlsx: Annotated[
        Path | None, typer.Option("--xlsx", metavar="FILE", help="Write it as a workbook.")
    ] = None,
) -> Answer:
    """Add up the sessions that ended in a period, per charger, user and identification.

    Those without a user, of open chargers, stand apart; so does, as refused, what flowed
    all the same after starts that were refused.
    """
    wanted = installations_pb2.GetInstallationRequest(installation_id=installation)
    zone = (await client.installations.GetInstallation(wanted)).installation.time_zone
    since, before = local_days.period(from_, to, zone)
    request = reports_pb2.GetReportRequest(
        installation_id=installation,
        ended_since=since,
        ended_before=before,
        charger_id="" if charger is None else (await client.charger(charger)).id,
        user_id=user or "",
    )
    found = await client.reports.GetReport(request)
    names = await Names.at(client, installation, [each.id for each in found.users])
    files = [(csv, reports_pb2.REPORT_FORMAT_CSV), (xlsx, reports_pb2.REPORT_FORMAT_XLSX)]
    for file, form in files:
        if file is not None:
            export = reports_pb2.ExportReportRequest(
                report=request,
                format=form,
                names=[reports_pb2.ReportName(id=key, name=name) for key, name in names.items()],
            )
            _write(file, (await client.reports.ExportReport(export)).content)
    parts = {part: getattr(found, part) for part in _PARTS}
    document = {part: [_row(each) for each in rows] for part, rows in parts.items()}
    sums = {"total": [found.total]}
    if found.refused.sessions:
        sums["refused"] = [found.refused]
    shown = [
        {"part": part.replace("_", " "), "name": names.get(each.id, each.id), **_row(each)}
        for part, rows in {**parts, **sums}.items()
        for each in rows
    ]
    written = [str(file) for file, _ in files if file is not None]
    return Answer(
        {
            **document,
            "total": _row(found.total),
            "refused": _row(found.refused),
            "files": written,
        },
        f"Wrote {' and '.join(written)}." if written else "",
        () if written else shown,
    )


def _row(row: reports_pb2.ReportRow) -> Document:
    return {
        "id": row.id or None,
        "sessions": row.sessions,
        "energy_wh": row.energy_wh,
        "duration_seconds": row.duration_seconds,
        "offline_sessions": row.offline_sessions,
    }


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise FileUnwritableError(error.strerror or "") from None
