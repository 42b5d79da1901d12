"""What was done about a thing, as several services keep it: one list, the newest first."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey_common.pages import PageTokenMalformedError

if TYPE_CHECKING:
    # Known to the types alone.
    from chargekey.audit.v1.audit_pb2_grpc import AuditServiceAsyncStub


class Kept(msgspec.Struct, frozen=True):
    """A change, the service that keeps it, and who stands behind it where that was read, too.

    The cause of what a reaction does is an event, of another reaction maybe.
    """

    service: str
    change: pb.Change
    by: str | None


async def changes(
    audits: Mapping[str, AuditServiceAsyncStub], about: str, *, most: int, before: str = ""
) -> tuple[Sequence[Kept], str]:
    """Return a page of at most `most`, and the cursor of the next one; empty at the end.

    `about` as in `installation:<id>`. Raises PageTokenMalformedError for a cursor that is none.
    """
    cursors = _read(before) if before else dict.fromkeys(audits, "")
    if not cursors or not cursors.keys() <= audits.keys():
        raise PageTokenMalformedError
    found = {
        service: await audits[service].ListChanges(
            pb.ListChangesRequest(object=about, page_size=most, page_token=cursor)
        )
        for service, cursor in cursors.items()
    }
    together = heapq.merge(
        *([(service, each) for each in answer.changes] for service, answer in found.items()),
        key=lambda kept: -kept[1].at,
    )
    shown = list(islice(together, most))
    rest: dict[str, str] = {}
    for service, answer in found.items():
        mine = [change for name, change in shown if name == service]
        if answer.next_page_token or len(mine) < len(answer.changes):
            rest[service] = mine[-1].position if mine else cursors[service]
    by_id = {each.id: each for answer in found.values() for each in answer.changes}
    kept = [Kept(service, change, behind(change, by_id)) for service, change in shown]
    return kept, _written(rest)


def behind(change: pb.Change, known: Mapping[str, pb.Change]) -> str | None:
    """Return who stands behind what a reaction did, by the changes that are known by their ids."""
    cause = known.get(change.cause)
    return None if cause is None else behind(cause, known) or cause.actor


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
