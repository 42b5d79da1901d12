"""`chargekey installation`: sites."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from chargekey.access.v1 import access_pb2 as pb
from chargekey_stack.answers import Answer, Document, done, fields, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group

app = group("installation", "Sites: the top unit, with a time zone and who must show something.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The installation's id.")]


@command(app, "create", "chargekey installation create --name Home --time-zone Europe/Oslo")
async def create(
    client: Client,
    *,
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    time_zone: Annotated[str, typer.Option("--time-zone", help="As in Europe/Oslo.")],
) -> Answer:
    """Create an installation; who wants to charge there must be known, until set otherwise."""
    created = await client.access.CreateInstallation(
        pb.CreateInstallationRequest(name=name, time_zone=time_zone)
    )
    return done(
        f"Created the installation {created.installation_id}.",
        id=created.installation_id,
        position=created.position,
    )


@command(app, "set", "chargekey installation set 3f0c... --authorisation-required no")
async def set_(
    client: Client,
    *,
    installation: Id,
    authorisation_required: Annotated[
        Literal["yes", "no"],
        typer.Option("--authorisation-required", help="Whether something must be presented."),
    ],
) -> Answer:
    """Open an installation to everybody, or restrict it; running sessions go on."""
    changed = await client.access.SetAuthorisationRequired(
        pb.SetAuthorisationRequiredRequest(
            installation_id=installation, authorisation_required=authorisation_required == "yes"
        )
    )
    now = "restricted" if authorisation_required == "yes" else "open"
    return done(f"The installation is {now}.", position=changed.position)


@command(app, "show", "chargekey installation show 3f0c...")
async def show(client: Client, *, installation: Id) -> Answer:
    """Show an installation."""
    found = await client.access.GetInstallation(
        pb.GetInstallationRequest(installation_id=installation)
    )
    return fields(_document(found.installation))


@command(app, "list", "chargekey installation list")
async def list_(client: Client) -> Answer:
    """List every installation."""
    found = await client.access.ListInstallations(pb.ListInstallationsRequest())
    return table("installations", [_document(each) for each in found.installations])


def _document(installation: pb.Installation) -> Document:
    return {
        "id": installation.id,
        "name": installation.name,
        "time_zone": installation.time_zone,
        "authorisation_required": installation.authorisation_required,
    }
