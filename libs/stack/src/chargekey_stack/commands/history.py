"""`chargekey history`: who did what about a thing, and when."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec
import typer

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey_common.pages import PageTokenMalformedError
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
from chargekey_stack.paging import newest

app = typer.Typer()

_COLUMNS = ("at", "actor", "by", "event", "subject", "fields")

# By the name of the service that keeps it.
Kept = tuple[str, pb.Change]


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
    cursors = _read(before) if before else dict.fromkeys(client.audits, "")
    if not cursors or not cursors.keys() <= client.audits.keys():
        raise PageTokenMalformedError
    found = {
        service: await newest(
            client.audits[service].ListChanges,
            pb.ListChangesRequest(object=given[0], page_token=cursor),
            "changes",
            limit,
        )
        for service, cursor in cursors.items()
    }
    together = heapq.merge(
        *([(service, each) for each in changes] for service, (changes, _) in found.items()),
        key=lambda kept: -kept[1].at,
    )
    shown = list(islice(together, limit))
    rest: dict[str, str] = {}
    for service, (changes, more) in found.items():
        mine = [change for name, change in shown if name == service]
        if more or len(mine) < len(changes):
            rest[service] = mine[-1].position if mine else cursors[service]
    rows = change_documents(shown, [each for changes, _ in found.values() for each in changes])
    return table("changes", rows, _COLUMNS if client.for_people else (), _written(rest))


def change_documents(changes: Sequence[Kept], known: Sequence[pb.Change]) -> list[Document]:
    """Return changes as they are shown; who stands behind each, as far as that is `known`."""
    by_id = {change.id: change for change in known}
    return [
        {
            "at": instant(change.at),
            "actor": change.actor,
            "by": _by(change, by_id),
            "event": change.event,
            "subject": change.subject_id,
            "fields": dict(change.fields),
            "service": service,
            "cause": change.cause,
            "id": change.id,
            "position": change.position,
        }
        for service, change in changes
    ]


def _by(change: pb.Change, by_id: Mapping[str, pb.Change]) -> str | None:
    """Return who stands behind it: a reaction's cause is an event, of a reaction again maybe."""
    cause = by_id.get(change.cause)
    return None if cause is None else _by(cause, by_id) or cause.actor


def _written(cursors: Mapping[str, str]) -> str:
    """Return the cursors of several services as one; empty where all are at their end."""
    if not cursors:
        return ""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursors)).decode()


def _read(cursor: str) -> dict[str, str]:
    """Read them back; raises PageTokenMalformedError."""
    try:
        raw = base64.b64decode(cursor.encode(), b"-_", validate=True)
        return msgspec.json.decode(raw, type=dict[str, str])
    except (binascii.Error, msgspec.DecodeError, UnicodeError):
        raise PageTokenMalformedError from None
