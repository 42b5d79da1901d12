"""The demo: the main story on a system of its own, every step checked."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.history.v1 import history_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_stack.answers import say, show_json, tell, unheard
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.interruption import Interruptible
from chargekey_stack.programs import ADMINISTRATOR_ADDRESS
from chargekey_stack.simulator import ACCEPTED, SimulatedCharger, simulated_charger
from chargekey_stack.story import PATIENCE, Story, eventually, expect
from chargekey_stack.supervisor import running
from chargekey_stack.words import VERDICTS

PIN = "#2468"
BLOCKED = "Blocked"
METER_INTERVAL = 0.1
INTRODUCTION = f"""\
Chargekey decides who may charge an electric vehicle, and where. This demo runs
the whole system on this machine: a garage, a charger, and Ada, who has the PIN
{PIN}. She charges, and while she does, she is blocked. Only the charger itself
is simulated; it speaks OCPP 1.6 over a WebSocket, as real ones do.
"""


class Garage(msgspec.Struct, frozen=True):
    """What the story is about; `positions` are those from which all of it is visible."""

    charger_id: str
    ocpp_identity: str
    password: str
    user_id: str
    positions: Sequence[str]


async def run(data: Path | None, *, as_json: bool) -> bool:
    """Tell the story on `data`, or where nothing is kept; return whether it came to its end.

    Raises DemoDifferedError at the first thing that is not as it should be.
    """
    with Interruptible(), tempfile.TemporaryDirectory(prefix="chargekey-demo-") as temporary:
        story = Story(unheard if as_json else say, shown=not as_json)
        story.tell(INTRODUCTION)
        began = time.monotonic()
        await _play(DataDirectory(data or Path(temporary)), story)
        took = time.monotonic() - began
        story.tell(f"\nEvery step went as told, in {took:.1f} s, ending every process included.")
        if as_json:
            show_json({"ok": True, "seconds": round(took, 3), "steps": story.steps})
        return True
    return False


async def _play(data: DataDirectory, story: Story) -> None:
    began = time.time_ns()
    async with AsyncExitStack() as system:
        with story.step(
            "The system runs: broker, mail, access, identity, gateway, history, notifier"
        ):
            await system.enter_async_context(running(data, tell=tell))
        client = await system.enter_async_context(connected(data))
        garage = await _set_up(client, story)
        connection = simulated_charger(
            client.system.ocpp,
            garage.ocpp_identity,
            garage.password,
            meter_interval=METER_INTERVAL,
        )
        async with connection as charger:
            await _charge(client, story, garage, charger)
            await _block(client, story, garage, charger)
        with story.step("The mail about it was caught in the data directory"):
            await _mail(data, since=began)
        with story.step("Every process has ended"):
            await system.aclose()


async def _set_up(client: Client, story: Story) -> Garage:
    """Create what the story is about."""
    with story.step("An installation is created: Demo garage, open to known people only"):
        installation = await client.installations.CreateInstallation(
            installations_pb2.CreateInstallationRequest(name="Demo garage", time_zone="Europe/Oslo")
        )
    ocpp_identity = f"DEMO-{secrets.token_hex(4)}"
    with story.step(f"The charger {ocpp_identity} is registered there"):
        charger = await client.chargers.AddCharger(
            chargers_pb2.AddChargerRequest(
                installation_id=installation.installation_id, ocpp_identity=ocpp_identity
            )
        )
    with story.step("Ada Lovelace is added, and may charge there"):
        user = await client.add_local_user(
            users_pb2.AddLocalUserRequest(
                installation_id=installation.installation_id,
                first_name="Ada",
                last_name="Lovelace",
            )
        )
        expect("the permission that follows", "pending" if user.pending else "there", "there")
    with story.step(f"She is given the PIN {PIN}"):
        pin = await client.identifications.AddIdentification(
            identifications_pb2.AddIdentificationRequest(
                user_id=user.user_id, type=identifications_pb2.IDENTIFICATION_TYPE_PIN, code=PIN
            )
        )
    garage = Garage(
        charger.charger_id,
        ocpp_identity,
        charger.password,
        user.user_id,
        [charger.position, user.access_position, pin.position],
    )
    with story.step("The gateway, asked for an answer that includes all this, would accept it"):
        decision = await _decision(client, garage, garage.positions)
        expect("the decision", VERDICTS.word(decision.status), ACCEPTED)
        expect("its reason", decision.reason, "installation_permission")
    return garage


async def _charge(client: Client, story: Story, garage: Garage, charger: SimulatedCharger) -> None:
    """Ada charges."""
    with story.step("The charger connects by OCPP 1.6 and reports that it is free"):
        await charger.boot()
    with story.step(f"Ada types {PIN}: Accepted"):
        expect("the answer to Authorize", await charger.authorize(PIN), ACCEPTED)
    with story.step("The charger starts a session: Accepted, and durable"):
        started = await charger.start(PIN)
        expect("the answer to StartTransaction", started.status, ACCEPTED)
    with story.step("History shows her session running"):
        session = await _session(client, garage, over=False)
        expect("the transaction", session.transaction_id, started.transaction_id)
        expect("whose session it is", session.user_id, garage.user_id)


async def _block(client: Client, story: Story, garage: Garage, charger: SimulatedCharger) -> None:
    """Ada is blocked, and all that follows from it."""
    with story.step("Ada is blocked"):
        blocked = await client.users.BlockUser(users_pb2.BlockUserRequest(user_id=garage.user_id))
    with story.step("The gateway has told the charger to stop, and it has"):
        async with asyncio.timeout(PATIENCE):
            expect("the reason of the stop", await charger.stopped(), "Remote")
    with story.step("History shows the session over, with its energy"):
        session = await _session(client, garage, over=True)
        expect("why it ended", session.end_reason, "Remote")
        expect("its energy in Wh", session.energy_wh, charger.meter)
    with story.step(f"Somebody types {PIN} again: Blocked"):
        expect("the answer to Authorize", await charger.authorize(PIN), BLOCKED)
    with story.step("Asked why, the gateway says: user_blocked"):
        decision = await _decision(client, garage, [blocked.position])
        expect("the decision", VERDICTS.word(decision.status), BLOCKED)
        expect("its reason", decision.reason, "user_blocked")
    for line in decision.explanation:
        story.tell(f"      {line}")
    with story.step("The refusal is on record with the same reason"):
        refusals = await eventually(
            "the refusal", lambda: _refusals(client, garage), lambda found: found
        )
        expect("its status", refusals[0].status, BLOCKED)
        expect("its reason", refusals[0].reason, "user_blocked")


async def _decision(
    client: Client, garage: Garage, at_least: Sequence[str]
) -> gateway_pb2.AuthorizeResponse:
    return await client.gateway.Authorize(
        gateway_pb2.AuthorizeRequest(
            charger_id=garage.charger_id, code=PIN, explain=True, at_least=at_least
        )
    )


async def _session(client: Client, garage: Garage, *, over: bool) -> history_pb2.Session:
    """Return the charger's newest session, once history has it in this state."""

    async def look() -> Sequence[history_pb2.Session]:
        request = history_pb2.ListSessionsRequest(charger_id=garage.charger_id)
        return (await client.history.ListSessions(request)).sessions

    found = await eventually(
        "the session in history",
        look,
        lambda sessions: sessions and sessions[0].HasField("ended_at") == over,
    )
    expect("the number of sessions", len(found), 1)
    return found[0]


async def _refusals(client: Client, garage: Garage) -> Sequence[history_pb2.Refusal]:
    request = history_pb2.ListRefusalsRequest(charger_id=garage.charger_id)
    return (await client.history.ListRefusals(request)).refusals


async def _mail(data: DataDirectory, *, since: int) -> None:
    async def look() -> list[Path]:
        return [mail for mail in data.mail.glob("*.eml") if int(mail.stem) >= since]

    mails = await eventually("the mail", look, lambda found: found)
    mail = mails[0].read_text()
    expect("what the mail is to", ADMINISTRATOR_ADDRESS in mail, wanted=True)
    expect("whether the mail holds the PIN", PIN in mail, wanted=False)
