"""`chargekey history`: who did what about a thing, and when."""

from __future__ import annotations

import typer

from chargekey_common.audit.together import Kept, changes
from chargekey_stack.answers import Answer, Document, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.errors import ObjectMissingError
from chargekey_stack.options import (
    Before,
    Limit,
    OptionalCharger,
    OptionalInstallation,
    OptionalPartner,
    OptionalPermission,
    OptionalUser,
)

app = typer.Typer()

_COLUMNS = ("at", "actor", "by", "event", "subject", "fields")


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
    before: Before = "",
) -> Answer:
    """List what was done about a thing, by whom and when, the newest first; for its owners.

    Of what a reaction did, `by` says who did what it reacted to, where that was read, too.
    """
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
    found, cursor = await changes(client.audits, given[0], most=limit, before=before)
    rows = [change_document(each) for each in found]
    return table("changes", rows, _COLUMNS if client.for_people else (), cursor)


def change_document(kept: Kept) -> Document:
    """Return a change as it is shown."""
    change = kept.change
    return {
        "at": instant(change.at),
        "actor": change.actor,
        "by": kept.by,
        "event": change.event,
        "subject": change.subject_id,
        "fields": dict(change.fields),
        "service": kept.service,
        "cause": change.cause,
        "id": change.id,
        "position": change.position,
    }
