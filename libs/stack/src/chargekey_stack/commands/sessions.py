"""`chargekey sessions`: who charged, and who charges now."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.history.v1 import history_pb2 as pb
from chargekey_stack.answers import Answer, Document, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.names import Names
from chargekey_stack.options import (
    Before,
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
)

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
    return table("sessions", rows, _COLUMNS if client.for_people else (), cursor)


def document(session: pb.Session) -> Document:
    """Return a session as it is shown."""
    over = session.HasField("ended_at")
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
    }
