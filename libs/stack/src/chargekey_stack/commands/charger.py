"""`chargekey charger`: charging stations, each named by its OCPP identity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from chargekey.access.v1 import chargers_pb2 as pb
from chargekey.gateway.v1 import decisions_pb2, gateway_pb2
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.commands import charger_commands, charger_convergence
from chargekey_stack.errors import NothingToChangeError, TypeTwiceError
from chargekey_stack.options import ChargerArgument as Charger
from chargekey_stack.options import Installation, OcppIdentity, Search
from chargekey_stack.preview import DryRun, preview
from chargekey_stack.words import AUTHORISATIONS, TYPES, completed

MOST_STATES = 1000  # that the gateway tells at once

app = group("charger", "Charging stations, each named by the OCPP identity it connects under.")
app.add_typer(charger_commands.app)
app.add_typer(charger_convergence.app)


def _types(name: str, explanation: str) -> Any:  # noqa: ANN401 - what the library says it is
    return typer.Option(name, metavar="TYPES", help=explanation, autocompletion=completed(TYPES))


@command(app, "add", "chargekey charger add --installation 3f0c... --ocpp-identity CP-1")
async def add(client: Client, *, installation: Installation, ocpp_identity: OcppIdentity) -> Answer:
    """Register a charger; its password is shown this once."""
    added = await client.chargers.AddCharger(
        pb.AddChargerRequest(installation_id=installation, ocpp_identity=ocpp_identity)
    )
    return done(
        f"Added the charger {added.charger_id}. It connects to "
        f"{client.system.ocpp}/{ocpp_identity} with the password {added.password}",
        id=added.charger_id,
        password=added.password,
        position=added.position,
    )


@command(app, "new-password", "chargekey charger new-password CP-1")
async def new_password(client: Client, *, charger: Charger) -> Answer:
    """Give a charger another password, shown this once; with the one before nobody stays."""
    found = await client.charger(charger)
    replaced = await client.chargers.ReplaceChargerPassword(
        pb.ReplaceChargerPasswordRequest(charger_id=found.id)
    )
    return done(
        f"{charger} now connects to {client.system.ocpp}/{charger} with the password "
        f"{replaced.password}",
        password=replaced.password,
        position=replaced.position,
    )


@command(app, "move", "chargekey charger move CP-1 --installation 8c1d...")
async def move(client: Client, *, charger: Charger, installation: Installation) -> Answer:
    """Move an idle charger to another installation, without the permissions on it."""
    found = await client.charger(charger)
    moved = await client.chargers.MoveCharger(
        pb.MoveChargerRequest(charger_id=found.id, installation_id=installation)
    )
    return done(f"Moved {charger}.", position=moved.position)


@command(app, "set", "chargekey charger set CP-1 --authorisation not-required")
async def set_(
    client: Client,
    *,
    charger: Charger,
    authorisation: Annotated[
        Literal["inherit", "required", "not-required"],
        typer.Option("--authorisation", help="Whether something must be presented here."),
    ],
    dry_run: DryRun = False,
) -> Answer:
    """Let a charger deviate from its installation, or do as the installation does again."""
    found = await client.charger(charger)
    if dry_run:
        override = decisions_pb2.AuthorisationOverride(
            charger_id=found.id, override=authorisation.replace("-", "_").upper()
        )
        change = decisions_pb2.PreviewChangeRequest(
            installation_id=found.installation_id, authorisation_override=override
        )
        return await preview(client, change)
    changed = await client.chargers.SetAuthorisationOverride(
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
    enable: Annotated[str, _types("--enable", f"As in pin,rfid; of {', '.join(TYPES)}.")] = "",
    disable: Annotated[str, _types("--disable", "As in app.")] = "",
    dry_run: DryRun = False,
) -> Answer:
    """Switch identification types on and off at a charger, in one step."""
    off = set(TYPES.numbers(disable))
    on = set(TYPES.numbers(enable))
    if not on | off:
        raise NothingToChangeError
    if twice := sorted(map(TYPES.word, on & off)):
        raise TypeTwiceError(", ".join(twice))
    found = await client.charger(charger)
    wanted = sorted((set(found.identification_types) | on) - off)
    if dry_run:
        types = [TYPES.word(each).replace("-", "_").upper() for each in wanted]
        change = decisions_pb2.PreviewChangeRequest(
            installation_id=found.installation_id,
            accepted_types=decisions_pb2.AcceptedTypes(charger_id=found.id, types=types),
        )
        return await preview(client, change)
    changed = await client.chargers.SetIdentificationTypes(
        pb.SetIdentificationTypesRequest(charger_id=found.id, identification_types=wanted)
    )
    words = [TYPES.word(number) for number in wanted]
    return done(
        f"{charger} accepts {', '.join(words) or 'nothing'}.",
        identification_types=words,
        position=changed.position,
    )


@command(app, "quirks", "chargekey charger quirks CP-1 --reversed")
async def quirks(
    client: Client,
    *,
    charger: Charger,
    reversed_: Annotated[
        bool, typer.Option("--reversed", help="It sends card numbers backwards, byte by byte.")
    ] = False,
    truncated: Annotated[
        bool, typer.Option("--truncated", help="It sends the first four bytes of longer ones.")
    ] = False,
    prefix: Annotated[str, typer.Option("--prefix", help="It sends this before them.")] = "",
) -> Answer:
    """Say how a charger's card reader deviates; without options, that it does not."""
    found = await client.charger(charger)
    changed = await client.chargers.SetReaderQuirks(
        pb.SetReaderQuirksRequest(
            charger_id=found.id,
            reader_quirks=pb.ReaderQuirks(reversed=reversed_, truncated=truncated, prefix=prefix),
        )
    )
    return done(f"Noted for {charger}.", position=changed.position)


@command(app, "show", "chargekey charger show CP-1")
async def show(client: Client, *, charger: Charger) -> Answer:
    """Show a charger's settings and how it is right now."""
    found = await client.charger(charger)
    states = await _states(client, gateway_pb2.ListChargerStatesRequest(charger_id=found.id))
    shown = {
        **_document(found, states),
        "installation_id": found.installation_id,
        "override_suspended": found.override_suspended,
        "reader_reversed": found.reader_quirks.reversed,
        "reader_truncated": found.reader_quirks.truncated,
        "reader_prefix": found.reader_quirks.prefix,
    }
    return Answer(shown, rows=[{"field": key, "": value} for key, value in shown.items()])


@command(app, "list", "chargekey charger list --installation 3f0c...")
async def list_(client: Client, *, installation: Installation, search: Search = "") -> Answer:
    """List an installation's chargers: locked where something must be presented."""
    request = pb.ListChargersRequest(installation_id=installation, search=search)
    found = await every(client.chargers.ListChargers, request, "chargers")
    states: dict[str, gateway_pb2.ChargerState] = {}
    for first in range(0, len(found), MOST_STATES):
        asked = [each.id for each in found[first : first + MOST_STATES]]
        states |= await _states(
            client,
            gateway_pb2.ListChargerStatesRequest(installation_id=installation, charger_ids=asked),
        )
    return table("chargers", [_document(each, states) for each in found])


async def _states(
    client: Client, request: gateway_pb2.ListChargerStatesRequest
) -> dict[str, gateway_pb2.ChargerState]:
    told = await client.gateway.ListChargerStates(request)
    return {each.charger_id: each for each in told.chargers}


def _document(charger: pb.Charger, states: dict[str, gateway_pb2.ChargerState]) -> Document:
    state = states.get(charger.id)
    connectors = () if state is None else state.connectors
    return {
        "id": charger.id,
        "ocpp_identity": charger.ocpp_identity,
        "authorisation": AUTHORISATIONS.word(charger.authorisation_override),
        "locked": charger.authorisation_required,
        "identification_types": [TYPES.word(each) for each in charger.identification_types],
        "online": state is not None and state.online,
        "waiting": [each.connector for each in connectors if each.waiting_for_authorisation],
    }
