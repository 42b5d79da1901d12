"""`chargekey charger`: charging stations, each named by its OCPP identity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from chargekey.access.v1 import access_pb2 as pb
from chargekey_stack.answers import Answer, Document, done, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import NothingToChangeError, TypeTwiceError
from chargekey_stack.options import Installation, OcppIdentity
from chargekey_stack.words import AUTHORISATIONS, CHARGER_TYPES, completed

app = group("charger", "Charging stations, each named by the OCPP identity it connects under.")


def _types(name: str, explanation: str) -> Any:  # noqa: ANN401 - what the library says it is
    return typer.Option(
        name, metavar="TYPES", help=explanation, autocompletion=completed(CHARGER_TYPES)
    )


Charger = Annotated[str, typer.Argument(metavar="CHARGER", help="The charger's OCPP identity.")]


@command(app, "add", "chargekey charger add --installation 3f0c... --ocpp-identity CP-1")
async def add(client: Client, *, installation: Installation, ocpp_identity: OcppIdentity) -> Answer:
    """Register a charger; its password is shown this once."""
    added = await client.access.AddCharger(
        pb.AddChargerRequest(installation_id=installation, ocpp_identity=ocpp_identity)
    )
    return done(
        f"Added the charger {added.charger_id}. It connects to "
        f"{client.system.ocpp}/{ocpp_identity} with the password {added.password}",
        id=added.charger_id,
        password=added.password,
        position=added.position,
    )


@command(app, "set", "chargekey charger set CP-1 --authorisation not-required")
async def set_(
    client: Client,
    *,
    charger: Charger,
    authorisation: Annotated[
        Literal["inherit", "required", "not-required"],
        typer.Option("--authorisation", help="Whether something must be presented here."),
    ],
) -> Answer:
    """Let a charger deviate from its installation, or do as the installation does again."""
    found = await client.charger(charger)
    changed = await client.access.SetAuthorisationOverride(
        pb.SetAuthorisationOverrideRequest(
            charger_id=found.id, authorisation_override=AUTHORISATIONS.number(authorisation)
        )
    )
    return done(f"Authorisation at {charger}: {authorisation}.", position=changed.position)


@command(app, "types", "chargekey charger types CP-1 --enable pin,rfid --disable app")
async def types(
    client: Client,
    *,
    charger: Charger,
    enable: Annotated[str, _types("--enable", "As in pin,rfid; of rfid, pin, app.")] = "",
    disable: Annotated[str, _types("--disable", "As in app.")] = "",
) -> Answer:
    """Switch identification types on and off at a charger, in one step."""
    off = set(CHARGER_TYPES.numbers(disable))
    on = set(CHARGER_TYPES.numbers(enable))
    if not on | off:
        raise NothingToChangeError
    if twice := sorted(map(CHARGER_TYPES.word, on & off)):
        raise TypeTwiceError(", ".join(twice))
    found = await client.charger(charger)
    wanted = sorted((set(found.identification_types) | on) - off)
    changed = await client.access.SetIdentificationTypes(
        pb.SetIdentificationTypesRequest(charger_id=found.id, identification_types=wanted)
    )
    words = [CHARGER_TYPES.word(number) for number in wanted]
    return done(
        f"{charger} accepts {', '.join(words) or 'nothing'}.",
        identification_types=words,
        position=changed.position,
    )


@command(app, "list", "chargekey charger list --installation 3f0c...")
async def list_(client: Client, *, installation: Installation) -> Answer:
    """List an installation's chargers."""
    found = await client.access.ListChargers(pb.ListChargersRequest(installation_id=installation))
    return table("chargers", [_document(each) for each in found.chargers])


def _document(charger: pb.Charger) -> Document:
    return {
        "id": charger.id,
        "ocpp_identity": charger.ocpp_identity,
        "authorisation": AUTHORISATIONS.word(charger.authorisation_override),
        "authorisation_required": charger.authorisation_required,
        "identification_types": [CHARGER_TYPES.word(each) for each in charger.identification_types],
    }
