"""`chargekey why`: why a session began, or something was refused."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from chargekey.history.v1 import decisions_pb2 as pb
from chargekey_stack.answers import Answer, cell, instant
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.names import Names

app = typer.Typer()


@command(app, "why", "chargekey why 9b1e...")
async def why(
    client: Client,
    *,
    entry: Annotated[
        str,
        typer.Argument(
            metavar="SESSION|REFUSAL",
            help="The id of a session or a refusal, as `sessions list` and `refusals list` show.",
        ),
    ],
) -> Answer:
    """Tell why a session began or something was refused, and whether it would be so again."""
    found = await client.decisions.ExplainDecision(pb.ExplainDecisionRequest(id=entry))
    names = (await Names.about(client, [found])).of(found)
    replayed = bool(found.replayed_status)
    document = {
        "id": entry,
        "stage": found.stage,
        "at": instant(found.at),
        "installation_id": found.installation_id,
        "charger_id": found.charger_id,
        **names,
        "user_id": found.user_id or None,
        "identification_id": found.identification_id or None,
        "status": found.status,
        "reason": found.reason,
        "inputs": msgspec.json.decode(found.inputs),
        "positions": list(found.positions),
        "replayed_status": found.replayed_status or None,
        "replayed_reason": found.replayed_reason or None,
        "same": _same(found) if replayed else None,
        "explanation": list(found.explanation),
    }
    last = len(found.explanation)
    steps = [
        {"": "->" if number == last else "", "step by step": line}
        for number, line in enumerate(found.explanation, start=1)
    ]
    where = names["charger"] or found.charger_id
    who = names.get("user") or "nobody who is known"
    lines = [
        f"{_what(found)} at {where} on {instant(found.at)}: {found.status} ({found.reason})",
        f"User: {who}. Identification: {found.identification_id or 'none that is known'}.",
        f"Decided from: {', '.join(found.positions) or 'no positions'}.",
        _again(found),
    ]
    return Answer(document, "\n".join(map(cell, lines)), steps)


def _what(found: pb.ExplainDecisionResponse) -> str:
    if found.status == "Accepted":
        return "A session began"
    return "A start was refused" if found.stage == "start" else "A tap was refused"


def _same(found: pb.ExplainDecisionResponse) -> bool:
    again = found.replayed_status, found.replayed_reason
    return again == (found.status, found.reason)


def _again(found: pb.ExplainDecisionResponse) -> str:
    if not found.replayed_status:
        return "It was not decided again: the gateway cannot be reached."
    if _same(found):
        return "Decided again from the same: the same."
    again = f"{found.replayed_status} ({found.replayed_reason})"
    return f"Decided again from the same it is {again}: the rules have changed since."
