"""`--dry-run`: what a change would do, told before it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from chargekey.gateway.v1 import decisions_pb2 as pb
from chargekey_stack.answers import Answer, Document
from chargekey_stack.client import Client
from chargekey_stack.names import Names

ANYBODY = "anybody else"

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only tell who could no longer, or newly, charge where; do nothing."
    ),
]


async def preview(client: Client, request: pb.PreviewChangeRequest) -> Answer:
    """Return what would come of it."""
    told = await client.previews.PreviewChange(request)
    both = (*told.losses, *told.gains)
    users = {each.user_id for each in both} if client.for_people else ()
    names = await Names.at(client, request.installation_id, users)
    document = {
        "losses": _documents(told.losses),
        "losses_in_all": told.losses_in_all,
        "gains": _documents(told.gains),
        "gains_in_all": told.gains_in_all,
        "stopped_session_ids": list(told.stopped_session_ids),
    }
    rows = [*_rows("loses", told.losses, names), *_rows("gains", told.gains, names)]
    rows += [
        {"": "stops", "charger": None, "user": None, "because": f"session {each}"}
        for each in told.stopped_session_ids
    ]
    if not rows:
        return Answer(document, "Nothing was done. Nobody would lose or gain anything.")
    counted = (
        f"Nothing was done. {told.losses_in_all} could no longer charge,"
        f" {told.gains_in_all} newly could, {len(told.stopped_session_ids)} sessions would stop."
    )
    hidden = told.losses_in_all + told.gains_in_all - len(both)
    return Answer(document, counted, rows, f"{hidden} more are not shown." if hidden else "")


def _documents(effects: Iterable[pb.Effect]) -> list[Document]:
    return [
        {
            "user_id": each.user_id or None,
            "charger_id": each.charger_id,
            "reason": each.reason or None,
        }
        for each in effects
    ]


def _rows(what: str, effects: Iterable[pb.Effect], names: Mapping[str, str]) -> list[Document]:
    return [
        {
            "": what,
            "charger": names.get(each.charger_id, each.charger_id),
            "user": names.get(each.user_id, each.user_id) or ANYBODY,
            "because": each.reason or None,
        }
        for each in effects
    ]
