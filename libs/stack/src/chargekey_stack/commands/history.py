"""`chargekey history`: who did what about a thing, and when."""

from __future__ import annotations

import typer

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey_stack.answers import Answer, Document, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.errors import ObjectMissingError
from chargekey_stack.options import (
    Limit,
    OptionalCharger,
    OptionalInstallation,
    OptionalPartner,
    OptionalPermission,
    OptionalUser,
)
from chargekey_stack.paging import every

app = typer.Typer()

_COLUMNS = ("at", "actor", "event", "subject", "fields")


@command(app, "history", "chargekey history --installation 3f0c...")
async def history(
    client: Client,
    *,
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
    permission: OptionalPermission = None,
    partner: OptionalPartner = None,
    user: OptionalUser = None,
    limit: Limit = 100,
) -> Answer:
    """List what was done about a thing, by whom and when, the newest first; for its owners."""
    named = {
        "installation": installation,
        "charger": None if charger is None else (await client.charger(charger)).id,
        "permission": permission,
        "partner": partner,
        "user": user,
    }
    given = [f"{kind}:{key}" for kind, key in named.items() if key is not None]
    if user is not None and installation is not None and len(given) == 2:  # noqa: PLR2004 - these two
        given = [f"user:{user}/installation:{installation}"]
    if len(given) != 1:
        raise ObjectMissingError
    found = [
        (each.at, change_document(service, each))
        for service, audit in client.audits.items()
        for each in await every(
            audit.ListChanges, pb.ListChangesRequest(object=given[0]), "changes", limit
        )
    ]
    newest = sorted(found, key=lambda each: each[0], reverse=True)[:limit]
    rows = [change for _, change in newest]
    return table("changes", rows, _COLUMNS if client.for_people else ())


def change_document(service: str, change: pb.Change) -> Document:
    """Return a change as it is shown."""
    return {
        "at": instant(change.at),
        "actor": change.actor,
        "event": change.event,
        "subject": change.subject_id,
        "fields": dict(change.fields),
        "service": service,
        "cause": change.cause,
        "position": change.position,
    }
