"""`chargekey charger convergence`: what chargers have still to follow, offline ones included."""

from __future__ import annotations

import typer

from chargekey.access.v1 import chargers_pb2
from chargekey.gateway.v1 import convergence_pb2 as pb
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.errors import TargetMissingError
from chargekey_stack.options import OptionalCharger, OptionalInstallation

app = typer.Typer()  # has no name: what is in it is in `chargekey charger`

COLUMNS = ("charger", "online", "list", "entries", "pending", "since", "reboot_required")


@command(app, "convergence", "chargekey charger convergence --installation 3f0c...")
async def convergence(
    client: Client,
    *,
    installation: OptionalInstallation = None,
    charger: OptionalCharger = None,
) -> Answer:
    """Show how far chargers have what they should: their own lists, caches and settings."""
    if charger is not None and installation is None:
        found = await client.charger(charger)
        request = pb.ListConvergenceRequest(charger_id=found.id)
        names = {found.id: found.ocpp_identity}
    elif installation is not None and charger is None:
        request = pb.ListConvergenceRequest(installation_id=installation)
        listed = await every(
            client.chargers.ListChargers,
            chargers_pb2.ListChargersRequest(installation_id=installation),
            "chargers",
        )
        names = {each.id: each.ocpp_identity for each in listed}
    else:
        raise TargetMissingError
    told = await client.convergence.ListConvergence(request)
    return table("chargers", [_document(each, names) for each in told.chargers], COLUMNS)


def _document(told: pb.Convergence, names: dict[str, str]) -> Document:
    since = told.pending_since if told.HasField("pending_since") else None
    converged = told.converged_at if told.HasField("converged_at") else None
    return {
        "charger": names.get(told.charger_id, told.charger_id),
        "charger_id": told.charger_id,
        "online": told.online,
        "list": _list(told),
        "local_list_supported": (
            told.local_list_supported if told.HasField("local_list_supported") else None
        ),
        "list_version_wanted": told.list_version_wanted,
        "list_version_confirmed": told.list_version_confirmed,
        "entries": f"{told.list_entries_confirmed} of {told.list_entries_wanted}",
        "list_entries_wanted": told.list_entries_wanted,
        "list_entries_confirmed": told.list_entries_confirmed,
        "pending": list(told.pending),
        "since": None if since is None else instant(since),
        "pending_since": since,
        "reboot_required": told.reboot_required,
        "converged_at": converged,
    }


def _list(told: pb.Convergence) -> str:
    if told.HasField("local_list_supported") and not told.local_list_supported:
        return "none"
    confirmed, wanted = told.list_version_confirmed, told.list_version_wanted
    return str(confirmed) if confirmed == wanted else f"{confirmed}, to be {wanted}"
