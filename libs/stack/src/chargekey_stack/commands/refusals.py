"""`chargekey refusals`: who was turned away, and why."""

from __future__ import annotations

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

_COLUMNS = ("at", "status", "reason", "stage", "offline", "energy_wh", "charger", "user", "id")

app = group("refusals", "Who was turned away, and why.")


@command(app, "list", "chargekey refusals list --charger CP-1")
async def list_(
    client: Client,
    *,
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
    user: OptionalUser = None,
    limit: Limit = 100,
    before: Before = "",
) -> Answer:
    """List refusals, the newest first: your own, unless you say of what."""
    request = pb.ListRefusalsRequest(
        installation_id=installation or "",
        charger_id="" if charger is None else (await client.charger(charger)).id,
        user_id=user or client.mine(installation, charger),
        page_token=before,
    )
    found, cursor = await newest(client.history.ListRefusals, request, "refusals", limit)
    names = await Names.about(client, found)
    rows = [{**document(each), **names.of(each)} for each in found]
    return table("refusals", rows, _COLUMNS if client.for_people else (), cursor)


def document(refusal: pb.Refusal) -> Document:
    """Return a refusal as it is shown."""
    return {
        "id": refusal.id,
        "at": instant(refusal.at),
        "status": refusal.status,
        "reason": refusal.reason,
        "stage": refusal.stage,
        "installation_id": refusal.installation_id,
        "charger_id": refusal.charger_id,
        "user_id": refusal.user_id or None,
        "identification_id": refusal.identification_id or None,
        "offline": refusal.offline,
        "energy_wh": refusal.energy_wh if refusal.HasField("energy_wh") else None,
    }
