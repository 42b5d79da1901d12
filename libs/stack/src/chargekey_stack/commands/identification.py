"""`chargekey identification`: the PINs and cards that users present."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.identity.v1 import identity_pb2 as pb
from chargekey_stack.answers import Answer, Document, done, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import NothingToChangeError
from chargekey_stack.options import (
    Code,
    OptionalCode,
    Status,
    Type,
    User,
    UsersInstallation,
    ValidUntil,
)
from chargekey_stack.words import STATUSES, TYPES

app = group("identification", "What users present at a charger: PINs and cards.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The identification's id.")]


@command(app, "add", "chargekey identification add --user 71aa... --type pin --code '#2468'")
async def add(
    client: Client,
    *,
    user: User,
    type_: Annotated[Type, typer.Option("--type", help="What it is.")],
    code: Code,
    installation: UsersInstallation = None,
    status: Annotated[Status, typer.Option("--status", help="Whether it works.")] = "active",
    valid_until: ValidUntil = None,
) -> Answer:
    """Give a user a PIN or a card; it works at the chargers from then on."""
    await client.check_home(user, installation)
    added = await client.identity.AddIdentification(
        pb.AddIdentificationRequest(
            user_id=user,
            type=TYPES.number(type_),
            code=code,
            status=STATUSES.number(status),
            valid_until=valid_until or "",
        )
    )
    return done(
        f"Added the identification {added.identification_id}.",
        id=added.identification_id,
        position=added.position,
    )


@command(app, "change", "chargekey identification change 9b2e... --code '#8642'")
async def change(
    client: Client,
    *,
    identification: Id,
    code: OptionalCode = None,
    status: Annotated[Status | None, typer.Option("--status", help="Whether it works.")] = None,
    valid_until: Annotated[
        str | None,
        typer.Option(
            "--valid-until",
            metavar="YYYY-MM-DD",
            help="The last day it works, in the installation's time zone; '' for no end.",
        ),
    ] = None,
) -> Answer:
    """Change what is given and leave the rest; an old code stops working at once."""
    if code is None and status is None and valid_until is None:
        raise NothingToChangeError
    changed = await client.identity.ChangeIdentification(
        pb.ChangeIdentificationRequest(
            identification_id=identification,
            code=code,
            status=None if status is None else STATUSES.number(status),
            valid_until=valid_until,
        )
    )
    return done("Changed.", position=changed.position)


@command(app, "reveal", "chargekey identification reveal 9b2e...")
async def reveal(client: Client, *, identification: Id) -> Answer:
    """Show the code in plain; that you looked is recorded."""
    revealed = await client.identity.RevealCode(
        pb.RevealCodeRequest(identification_id=identification)
    )
    return done(revealed.code, code=revealed.code, position=revealed.position)


@command(app, "remove", "chargekey identification remove 9b2e...")
async def remove(client: Client, *, identification: Id) -> Answer:
    """Take a PIN or a card away for good."""
    removed = await client.identity.RemoveIdentification(
        pb.RemoveIdentificationRequest(identification_id=identification)
    )
    return done("Removed.", position=removed.position)


@command(app, "list", "chargekey identification list --user 71aa...")
async def list_(client: Client, *, user: User) -> Answer:
    """List a user's identifications, without their codes."""
    found = await client.identity.ListIdentifications(pb.ListIdentificationsRequest(user_id=user))
    return table("identifications", [_document(each) for each in found.identifications])


def _document(identification: pb.Identification) -> Document:
    ends = identification.HasField("valid_until")
    return {
        "id": identification.id,
        "type": TYPES.word(identification.type),
        "status": STATUSES.word(identification.status),
        "installation_id": identification.installation_id or None,
        "valid_until": instant(identification.valid_until) if ends else None,
    }
