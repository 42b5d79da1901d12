"""`chargekey simulate`: a charger that presents a code and charges, or a fleet of them."""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from chargekey_stack.answers import Answer, done
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.errors import (
    ChargerDisconnectedError,
    ChargingRefusedError,
    FleetOrChargerError,
    PromiseBrokenError,
)
from chargekey_stack.interruption import Interruptible
from chargekey_stack.options import OptionalCode, OptionalOcppIdentity, OptionalPassword
from chargekey_stack.progress import changing, working

if TYPE_CHECKING:
    from chargekey_stack.simulator import SimulatedCharger, Started, Version
    from chargekey_stack.simulator.fleet import Fleet
    from chargekey_stack.simulator.scenarios import Scenario

# Seconds between two looks at a fleet: on a terminal, and where lines add up.
LOOK = 0.5
LOOK_IN_LINES = 5.0
LAST_WORDS = 5.0  # seconds a stop has to be told after Ctrl-C

app = typer.Typer()


@command(
    app,
    "simulate",
    "chargekey simulate --ocpp-identity CP-1 --password 1f0a... --code '#2468'",
)
async def simulate(
    client: Client,
    *,
    ocpp_identity: OptionalOcppIdentity = None,
    password: OptionalPassword = None,
    code: OptionalCode = None,
    ocpp: Annotated[
        Literal["1.6", "2.0.1", "2.1"],
        typer.Option("--ocpp", help="The version of OCPP that is spoken."),
    ] = "1.6",
    chargers: Annotated[
        int | None,
        typer.Option(
            "--chargers", min=1, max=2000, help="Be so many, made with their people when new."
        ),
    ] = None,
    scenario: Annotated[
        Literal["morning", "storm", "idle"],
        typer.Option(
            "--scenario",
            help="What a fleet plays: people arrive and charge, all connections are lost"
            " at once, or nothing happens.",
        ),
    ] = "morning",
    duration: Annotated[
        float,
        typer.Option("--duration", min=5, max=86400, help="Seconds that a fleet's scenario takes."),
    ] = 60.0,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", min=0.01, max=1000, help="People who arrive in a second of a morning."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed is the same scenario, step by step.")
    ] = 0,
) -> Answer:
    """Be a charger: connect, present a code, charge until the system or Ctrl-C stops it.

    Without a code it plugs in and waits for a start from outside. A code that may not
    charge ends it with 1 and `charging_refused`. With --chargers, be a whole fleet that
    plays a scenario, and end with 1 and `promise_broken` where the system did something
    that it should not.
    """
    if (chargers is None) == (ocpp_identity is None):
        raise FleetOrChargerError
    if chargers is not None:
        if password is not None or code is not None:
            raise FleetOrChargerError
        return await _be_many(client, ocpp, chargers, scenario, duration, rate, seed)
    if ocpp_identity is None or password is None:
        raise FleetOrChargerError
    return await _be_one(client, ocpp, ocpp_identity, password, code)


async def _be_one(
    client: Client, ocpp: Version, ocpp_identity: str, password: str, code: str | None
) -> Answer:
    # It takes as long to import as all the rest, which other commands need not wait for.
    from chargekey_stack.simulator import ACCEPTED, check_code, simulated_charger  # noqa: PLC0415
    from chargekey_stack.simulator.observer import Reconnections  # noqa: PLC0415

    if code is not None:
        check_code(code)
    async with simulated_charger(
        client.system.ocpp,
        ocpp_identity,
        password,
        version=ocpp,
        observer=Reconnections(client.tell),
    ) as charger:
        await charger.boot()
        if code is None:
            start = _start_from_outside(client, charger, ocpp_identity)
        else:
            await charger.plug_in()
            client.tell(f"{ocpp_identity} is connected and presents the code.")
            status = await charger.authorize(code)
            if status != ACCEPTED:
                raise ChargingRefusedError(status)
            start = charger.start(code)
        return await _charge(client, charger, asyncio.create_task(start, name="start"))


async def _start_from_outside(
    client: Client, charger: SimulatedCharger, ocpp_identity: str
) -> Started:
    await charger.plug_in()
    client.tell(f"{ocpp_identity} is connected and waiting for authorisation.")
    return await charger.started()


async def _charge(client: Client, charger: SimulatedCharger, starting: Task[Started]) -> Answer:
    """Charge once it is started, until something stops it: Ctrl-C does, at the charger.

    It may come while the start is under way, which others see before it is answered.
    """
    stopped = None
    with Interruptible():
        started = await asyncio.shield(starting)
        if started.accepted:
            client.tell(f"{started.status}: charging as transaction {started.transaction_id}.")
        stopped = await _stopped(charger, started)
    if stopped is None:
        if charger.transaction is None and not charger.outbox and not starting.done():
            starting.cancel()
            return done("Nobody has started anything.", status="waiting")
        started, stopped = await _stop(charger, starting)
    untold = " The gateway was not there to be told." if charger.outbox else ""
    return done(
        f"Stopped: {stopped}.{untold}",
        status=started.status,
        transaction_id=started.transaction_id,
        stopped=stopped,
        energy_wh=charger.meter,
    )


async def _stop(charger: SimulatedCharger, starting: Task[Started]) -> tuple[Started, str]:
    """End at the charger what charges, once its start is answered."""
    try:
        async with asyncio.timeout(LAST_WORDS):
            started = await starting
            if charger.transaction is not None:
                await charger.stop()
            return started, await _stopped(charger, started)
    except TimeoutError:
        raise ChargerDisconnectedError from None


async def _stopped(charger: SimulatedCharger, started: Started) -> str:
    if not started.accepted:
        if charger.transaction is not None:
            await charger.stopped()  # the gateway has numbered it all the same
        raise ChargingRefusedError(started.status)
    return await charger.stopped()


async def _be_many(
    client: Client,
    ocpp: Version,
    chargers: int,
    scenario: Scenario,
    duration: float,
    rate: float | None,
    seed: int,
) -> Answer:
    # As above.
    from chargekey_stack.simulator import scenarios, tally  # noqa: PLC0415
    from chargekey_stack.simulator.fleet import Fleet  # noqa: PLC0415
    from chargekey_stack.simulator.provision import SITE, provision  # noqa: PLC0415

    sentence = f"Making `{SITE}` with {chargers} chargers and its people, as far as they are new."
    client.tell(sentence)
    with working(sentence, shown=client.for_people):
        site = await provision(client, chargers)
    steps = scenarios.plan(scenario, chargers=chargers, duration=duration, seed=seed, rate=rate)
    fleet = Fleet(client, site, steps, version=ocpp)
    finished = False
    try:
        with Interruptible():
            async with _watched(client, fleet):
                await fleet.play(lasting=duration)
            finished = True
        seen = fleet.snapshot()
    finally:
        await fleet.close()
    document = {
        "scenario": scenario,
        "ocpp": ocpp,
        "seed": seed,
        "finished": finished,
        **msgspec.to_builtins(seen),
    }
    ended = "played" if finished else "interrupted"
    answer = Answer(document, f"Scenario {scenario}, seed {seed}: {ended}.", tally.rows(seen))
    if seen.broken:
        client.show(answer)
        raise PromiseBrokenError(tally.verdict(seen.broken))
    return answer


@asynccontextmanager
async def _watched(client: Client, fleet: Fleet) -> AsyncIterator[None]:
    """Show what goes on in the block: a table on a terminal, else a line now and then."""
    watching = asyncio.create_task(_watch(client, fleet))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(client: Client, fleet: Fleet) -> None:
    from chargekey_stack.simulator import tally  # noqa: PLC0415 - as above

    with changing(shown=client.for_people) as change:
        while True:
            await asyncio.sleep(LOOK_IN_LINES if change is None else LOOK)
            seen = fleet.snapshot()
            if change is None:
                client.tell(tally.line(seen))
            else:
                change(tally.rows(seen))
