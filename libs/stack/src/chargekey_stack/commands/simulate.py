"""`chargekey simulate`: a charger that presents a code and charges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from chargekey_stack.answers import Answer, done
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.errors import ChargingRefusedError
from chargekey_stack.interruption import Interruptible
from chargekey_stack.options import Code, OcppIdentity, Password

if TYPE_CHECKING:
    from chargekey_stack.simulator import SimulatedCharger

app = typer.Typer()


@command(
    app,
    "simulate",
    "chargekey simulate --ocpp-identity CP-1 --password 1f0a... --code '#2468'",
)
async def simulate(
    client: Client, *, ocpp_identity: OcppIdentity, password: Password, code: Code
) -> Answer:
    """Be a charger: connect, present a code, charge until the system or Ctrl-C stops it.

    A code that may not charge ends it with 1 and `charging_refused`.
    """
    # It takes as long to import as all the rest, which other commands need not wait for.
    from chargekey_stack.simulator import ACCEPTED, check_code, simulated_charger  # noqa: PLC0415

    check_code(code)
    async with simulated_charger(client.system.ocpp, ocpp_identity, password) as charger:
        await charger.boot()
        await charger.plug_in()
        client.tell(f"{ocpp_identity} is connected and presents the code.")
        status = await charger.authorize(code)
        if status != ACCEPTED:
            raise ChargingRefusedError(status)
        started = await charger.start(code)
        if started.status != ACCEPTED:
            await charger.stopped()  # the gateway has numbered it all the same
            raise ChargingRefusedError(started.status)
        client.tell(f"{started.status}: charging as transaction {started.transaction_id}.")
        stopped = await _charge(charger)
    return done(
        f"Stopped: {stopped}.",
        status=started.status,
        transaction_id=started.transaction_id,
        stopped=stopped,
        energy_wh=charger.meter,
    )


async def _charge(charger: SimulatedCharger) -> str:
    """Return why charging ended; Ctrl-C ends it at the charger."""
    with Interruptible():
        return await charger.stopped()
    return await charger.stop()
