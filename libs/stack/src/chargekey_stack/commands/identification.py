"""`chargekey identification`: the PINs, cards and other things that users present."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from chargekey.identity.v1 import identifications_pb2 as pb
from chargekey.identity.v1 import scans_pb2
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import NothingToChangeError, ScanFailedError
from chargekey_stack.options import (
    Charger,
    Code,
    Installation,
    OptionalCode,
    OptionalInstallation,
    ScannedType,
    Status,
    Type,
    User,
    UsersInstallation,
)
from chargekey_stack.words import SCANS, STATUSES, TYPES

app = group("identification", "What users present at a charger: PINs, cards, vehicles, telephones.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The identification's id.")]
LAST_DAY = (
    "The last day it works, in the time zone of the installation it is limited to,"
    " or else in the user's own"
)
# Seconds between looks at a scan.
LOOK = 0.5


@command(app, "add", "chargekey identification add --user 71aa... --type pin --code '#2468'")
async def add(
    client: Client,
    *,
    user: User,
    type_: Annotated[Type, typer.Option("--type", help="What it is.")],
    code: Code,
    installation: UsersInstallation = None,
    status: Annotated[Status, typer.Option("--status", help="Whether it works.")] = "active",
    valid_until: Annotated[
        str | None,
        typer.Option("--valid-until", metavar="YYYY-MM-DD", help=f"{LAST_DAY}."),
    ] = None,
    group_: Annotated[
        str, typer.Option("--group", help="Of one group, one may stop what another started.")
    ] = "",
    group_card: Annotated[
        bool, typer.Option("--group-card", help="Several may charge with it at once.")
    ] = False,
) -> Answer:
    """Give a user a PIN, a card or another thing to present; it works from then on.

    With an installation, it works there only; a PIN of a user who signs in needs one.
    """
    await client.check_home(user, installation)
    added = await client.identifications.AddIdentification(
        pb.AddIdentificationRequest(
            user_id=user,
            type=TYPES.number(type_),
            code=code,
            status=STATUSES.number(status),
            valid_until=valid_until or "",
            installation_id=installation or "",
            group=group_,
            group_card=group_card,
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
        typer.Option("--valid-until", metavar="YYYY-MM-DD", help=f"{LAST_DAY}; '' for no end."),
    ] = None,
    group_: Annotated[str | None, typer.Option("--group", help="Its group; '' for none.")] = None,
    group_card: Annotated[
        bool | None,
        typer.Option("--group-card/--no-group-card", help="Several may charge with it at once."),
    ] = None,
) -> Answer:
    """Change what is given and leave the rest; an old code stops working at once."""
    if all(given is None for given in (code, status, valid_until, group_, group_card)):
        raise NothingToChangeError
    changed = await client.identifications.ChangeIdentification(
        pb.ChangeIdentificationRequest(
            identification_id=identification,
            code=code,
            status=None if status is None else STATUSES.number(status),
            valid_until=valid_until,
            group=group_,
            group_card=group_card,
        )
    )
    return done("Changed.", position=changed.position)


@command(app, "reveal", "chargekey identification reveal 9b2e...")
async def reveal(client: Client, *, identification: Id) -> Answer:
    """Show the code in plain; that you looked is recorded."""
    revealed = await client.identifications.RevealCode(
        pb.RevealCodeRequest(identification_id=identification)
    )
    return done(revealed.code, code=revealed.code, position=revealed.position)


@command(app, "remove", "chargekey identification remove 9b2e...")
async def remove(client: Client, *, identification: Id) -> Answer:
    """Take it away for good."""
    removed = await client.identifications.RemoveIdentification(
        pb.RemoveIdentificationRequest(identification_id=identification)
    )
    return done("Removed.", position=removed.position)


@command(app, "list", "chargekey identification list --user 71aa...")
async def list_(client: Client, *, user: User, installation: OptionalInstallation = None) -> Answer:
    """List a user's identifications, without their codes."""
    request = pb.ListIdentificationsRequest(user_id=user, installation_id=installation or "")
    found = await every(client.identifications.ListIdentifications, request, "identifications")
    return table("identifications", [_document(each) for each in found])


@command(app, "generate-pin", "chargekey identification generate-pin --installation 3f0c...")
async def generate_pin(
    client: Client,
    *,
    installation: Installation,
    count: Annotated[int, typer.Option("--count", min=1, max=20, help="How many.")] = 1,
) -> Answer:
    """Think of PINs that are free at an installation right now; none is kept for anybody."""
    made = await client.identifications.GeneratePins(
        pb.GeneratePinsRequest(installation_id=installation, count=count)
    )
    return done("\n".join(made.pins), pins=list(made.pins))


@command(app, "scan", "chargekey identification scan --user 71aa... --charger CP-1")
async def scan(
    client: Client,
    *,
    user: User,
    charger: Charger,
    type_: Annotated[ScannedType, typer.Option("--type", help="What it is.")] = "rfid",
    installation: UsersInstallation = None,
) -> Answer:
    """Give a user the next unknown card that is presented at a charger within a minute."""
    started = await client.scans.StartScan(
        scans_pb2.StartScanRequest(
            user_id=user,
            charger_id=(await client.charger(charger)).id,
            installation_id=installation or "",
            type=TYPES.number(type_),
        )
    )
    client.tell(f"Present the card at {charger} within a minute.")
    request = scans_pb2.GetScanRequest(scan_id=started.scan_id)
    last = scans_pb2.SCAN_STATE_WAITING
    while True:
        now = await client.scans.GetScan(request)
        match SCANS.word(now.state):
            case "waiting":
                pass
            case "present-again":
                if now.state != last:
                    client.tell("Once more, so that nobody's card is taken.")
            case "added":
                return done(
                    f"Added the identification {now.identification_id}.",
                    id=now.identification_id,
                    position=now.position,
                )
            case state:
                raise ScanFailedError(now.refusal_sentence or f"{state}.")
        last = now.state
        await asyncio.sleep(LOOK)


@command(app, "refusals", "chargekey identification refusals --installation 3f0c...")
async def refusals(client: Client, *, installation: Installation) -> Answer:
    """List what was presented at an installation lately and is nobody's, for `adopt`."""
    request = scans_pb2.ListUnknownCodesRequest(installation_id=installation)
    found = await every(client.scans.ListUnknownCodes, request, "unknown_codes")
    return table(
        "refusals",
        [
            {
                "id": each.id,
                "charger_id": each.charger_id,
                "type": TYPES.word(each.type),
                "at": instant(each.at),
                "times": each.times,
            }
            for each in found
        ],
    )


@command(app, "adopt", "chargekey identification adopt 17fe... --user 71aa...")
async def adopt(
    client: Client,
    *,
    refusal: Annotated[str, typer.Argument(metavar="ID", help="As in `refusals`.")],
    user: User,
    installation: UsersInstallation = None,
) -> Answer:
    """Give a user what was presented lately and is nobody's."""
    added = await client.scans.AddFromUnknownCode(
        scans_pb2.AddFromUnknownCodeRequest(
            unknown_code_id=refusal, user_id=user, installation_id=installation or ""
        )
    )
    return done(
        f"Added the identification {added.identification_id}.",
        id=added.identification_id,
        position=added.position,
    )


def _document(identification: pb.Identification) -> Document:
    ends = identification.HasField("valid_until")
    return {
        "id": identification.id,
        "type": TYPES.word(identification.type),
        "status": STATUSES.word(identification.status),
        "installation_id": identification.installation_id or None,
        "valid_until": instant(identification.valid_until) if ends else None,
        "group": identification.group or None,
        "group_card": identification.group_card,
    }
