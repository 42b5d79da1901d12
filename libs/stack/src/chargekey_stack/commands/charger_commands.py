"""`chargekey charger …`: what a connected charger is told to do."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import typer

from chargekey.gateway.v1 import commands_pb2 as pb
from chargekey_stack.answers import Answer, done, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import CommandRefusedError
from chargekey_stack.options import ChargerArgument as Charger

app = typer.Typer()  # has no name: what is in it is in `chargekey charger`
settings = group("settings", "How a charger is set, by the names its OCPP version has.")
app.add_typer(settings)

Connector = Annotated[
    int,
    typer.Option(
        "--connector", min=0, metavar="NUMBER", help="One connector; of OCPP 2.x, an EVSE."
    ),
]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]


@command(app, "start", "chargekey charger start CP-1 --connector 1")
async def start(client: Client, *, charger: Charger, connector: Connector = 0) -> Answer:
    """Start charging here as whoever has signed in, as if he stood at the charger."""
    found = await client.charger(charger)
    answer = await client.charger_commands.StartSession(
        pb.StartSessionRequest(charger_id=found.id, connector=connector)
    )
    return _done(f"{charger} starts once a vehicle is plugged in.", answer.outcome)


@command(app, "stop", "chargekey charger stop 9b2e...")
async def stop(client: Client, *, session: Session) -> Answer:
    """Have a charger stop a session that runs."""
    answer = await client.charger_commands.StopSession(pb.StopSessionRequest(session_id=session))
    return _done("The charger stops it.", answer.outcome)


@command(app, "end-session", "chargekey charger end-session 9b2e...")
async def end_session(client: Client, *, session: Session) -> Answer:
    """End a session in the books, your own too, where its charger will not say any more."""
    await client.charger_commands.EndSession(pb.EndSessionRequest(session_id=session))
    return done("Ended in the books; the charger was asked to stop, if it is there.")


@command(app, "reset", "chargekey charger reset CP-1 --at-once")
async def reset(
    client: Client,
    *,
    charger: Charger,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Without waiting for what charges.")
    ] = False,
) -> Answer:
    """Have a charger start again."""
    found = await client.charger(charger)
    answer = await client.charger_commands.ResetCharger(
        pb.ResetChargerRequest(charger_id=found.id, at_once=at_once)
    )
    return _done(f"{charger} starts again.", answer.outcome)


@command(app, "disconnect", "chargekey charger disconnect CP-1")
async def disconnect(client: Client, *, charger: Charger) -> Answer:
    """Close a charger's connection, so that another one with its identity can come in."""
    found = await client.charger(charger)
    await client.charger_commands.DisconnectCharger(
        pb.DisconnectChargerRequest(charger_id=found.id)
    )
    return done(f"{charger} is disconnected; whoever comes first with its password is let in.")


@command(app, "unlock", "chargekey charger unlock CP-1 --connector 2")
async def unlock(client: Client, *, charger: Charger, connector: Connector = 1) -> Answer:
    """Have a charger let go of a cable."""
    found = await client.charger(charger)
    answer = await client.charger_commands.UnlockConnector(
        pb.UnlockConnectorRequest(charger_id=found.id, connector=connector)
    )
    return _done(f"{charger} has let go of the cable.", answer.outcome)


@command(app, "availability", "chargekey charger availability CP-1 off")
async def availability(
    client: Client,
    *,
    charger: Charger,
    state: Annotated[
        Literal["on", "off"], typer.Argument(metavar="on|off", help="Whether it serves vehicles.")
    ],
    connector: Connector = 0,
) -> Answer:
    """Let a charger serve vehicles, or none any more."""
    found = await client.charger(charger)
    answer = await client.charger_commands.ChangeAvailability(
        pb.ChangeAvailabilityRequest(
            charger_id=found.id, operative=state == "on", connector=connector
        )
    )
    later = " once what charges has ended" if answer.outcome.status == "Scheduled" else ""
    serves = "serves vehicles" if state == "on" else "serves no vehicles"
    return _done(f"{charger} {serves}{later}.", answer.outcome)


@command(app, "trigger", "chargekey charger trigger CP-1 StatusNotification --connector 1")
async def trigger(
    client: Client,
    *,
    charger: Charger,
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="One of its own, by its OCPP name.")
    ],
    connector: Connector = 0,
) -> Answer:
    """Have a charger send one of its messages now."""
    found = await client.charger(charger)
    answer = await client.charger_commands.TriggerMessage(
        pb.TriggerMessageRequest(charger_id=found.id, message=message, connector=connector)
    )
    return _done(f"{charger} sends it.", answer.outcome)


@command(app, "clear-cache", "chargekey charger clear-cache CP-1")
async def clear_cache(client: Client, *, charger: Charger) -> Answer:
    """Have a charger forget whom it accepted before."""
    found = await client.charger(charger)
    answer = await client.charger_commands.ClearCache(pb.ClearCacheRequest(charger_id=found.id))
    if answer.outcome.outcome == "rejected":
        # What the standard has chargers without one answer.
        return done(f"{charger} has no cache.", outcome="rejected", status=answer.outcome.status)
    return _done(f"{charger} has forgotten whom it accepted.", answer.outcome)


@command(settings, "show", "chargekey charger settings show CP-1 HeartbeatInterval")
async def settings_show(
    client: Client,
    *,
    charger: Charger,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="None: those that bear on who may charge."),
    ] = None,
) -> Answer:
    """Show how a charger is set; what it does not know is left out."""
    found = await client.charger(charger)
    answer = await client.charger_commands.GetChargerSettings(
        pb.GetChargerSettingsRequest(charger_id=found.id, names=names or [])
    )
    rows = [{"name": each.name, "value": each.value} for each in answer.settings]
    return table("settings", rows)


@command(settings, "set", "chargekey charger settings set CP-1 HeartbeatInterval 300")
async def settings_set(
    client: Client,
    *,
    charger: Charger,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As the charger calls it.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As the charger writes it.")],
) -> Answer:
    """Change one setting of a charger."""
    found = await client.charger(charger)
    answer = await client.charger_commands.ChangeChargerSetting(
        pb.ChangeChargerSettingRequest(charger_id=found.id, name=name, value=value)
    )
    if answer.outcome.outcome == "reboot_required":
        reset_it = f"`chargekey charger reset {charger}`"
        return _done(f"{charger} does so after its next start: {reset_it}.", answer.outcome)
    return _done(f"{charger} is set.", answer.outcome)


@command(
    app,
    "send",
    'chargekey charger send CP-1 GetCompositeSchedule \'{"connectorId": 1, "duration": 60}\'',
)
async def send(
    client: Client,
    *,
    charger: Charger,
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help="An action of the charger's OCPP version.")
    ],
    payload: Annotated[
        str, typer.Argument(metavar="JSON", help="Its payload, in the standard's form.")
    ],
) -> Answer:
    """Send any other action that chargers are sent, and show what is answered."""
    found = await client.charger(charger)
    answer = await client.charger_commands.SendAction(
        pb.SendActionRequest(charger_id=found.id, action=action, payload=payload)
    )
    told = msgspec.json.decode(answer.payload) if answer.payload else {}
    outcome, status = answer.outcome.outcome, answer.outcome.status
    document = {"outcome": outcome, "status": status, "answer": told}
    rows = [{"field": key, "": value} for key, value in told.items()]
    why = f", {status}" if outcome == "refused" else ""
    return Answer(document, f"{charger}: {outcome}{why}.", rows)


def _done(sentence: str, outcome: pb.CommandOutcome) -> Answer:
    """Answer what came of a command; raises CommandRefusedError where nothing did."""
    if outcome.outcome not in {"accepted", "reboot_required"}:
        raise CommandRefusedError(outcome.status or outcome.outcome)
    return done(sentence, outcome=outcome.outcome, status=outcome.status)
