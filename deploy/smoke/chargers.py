"""Many chargers that charge, and what became of their connections."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from chargekey.history.v1 import history_pb2
from chargekey_common.testing.waiting import until
from chargekey_stack.client import Client
from chargekey_stack.simulator import Make, SimulatedCharger
from chargekey_stack.simulator.observer import Observer
from chargekey_stack.simulator.population import Kind, Person, ocpp_identity
from chargekey_stack.simulator.provision import Site, provision
from chargekey_stack.simulator.wire import Line
from chargekey_stack.story import expect

COUNT = 200
# Seconds between two meter values, and before a lost connection is tried again.
METER_INTERVAL = 5.0
BACK_OFF = (0.5, 1.0, 2.0)
PATIENCE = 60.0


class Losses(Observer):
    """When connections were lost, and what they were closed with; and how many came back."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.by: Counter[str] = Counter()
        self.returned = 0

    def connected(self, *, again: bool) -> None:
        """Count who is back."""
        self.returned += again

    def disconnected(self, why: str) -> None:
        """Note when, and why."""
        self.at.append(time.monotonic())
        self.by[why.rpartition("closed with ")[2].partition(" ")[0]] += 1

    def most_within(self, seconds: float) -> int:
        """Return the most that were lost within so many seconds."""
        return max(sum(first <= at < first + seconds for at in self.at) for first in self.at)


class Charging(msgspec.Struct, frozen=True):
    """Chargers whose sessions run."""

    site: Site
    chargers: list[SimulatedCharger]
    losses: Losses

    async def all_online(self) -> None:
        """Return once all are connected; raises TimeoutError."""
        await until(lambda: all(each.online for each in self.chargers), within=PATIENCE)

    def transactions(self) -> set[int]:
        """Return the numbers that the gateway gave what runs."""
        return {each.transaction.number for each in self.chargers if each.transaction is not None}

    async def stop(self) -> None:
        """End every session, at the chargers."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(each.stop() for each in self.chargers))


@asynccontextmanager
async def charging(client: Client) -> AsyncIterator[Charging]:
    """Make chargers and people, connect and start all, for the length of the block."""
    site, losses = await provision(client, COUNT), Losses()
    chargers = [
        SimulatedCharger(
            Line(client.system.ocpp, ocpp_identity(number), password, checked=False),
            "1.6",
            meter_interval=METER_INTERVAL,
            make=Make(back_off=BACK_OFF),
            observer=losses,
        )
        for number, password in site.passwords.items()
    ]
    try:
        await asyncio.gather(*(each.connect() for each in chargers))
        await asyncio.gather(*(each.boot() for each in chargers))
        cards = (Person(Kind.RESIDENT, number).card for number in site.passwords)
        started = await asyncio.gather(
            *(each.start(card) for each, card in zip(chargers, cards, strict=True))
        )
        expect("what starts are answered", {each.status for each in started}, {"Accepted"})
        yield Charging(site, chargers, losses)
    finally:
        await asyncio.gather(*(each.close() for each in chargers))


async def sessions(client: Client, site: Site, *, running: bool) -> set[int]:
    """Return the transaction numbers of those in history that run, or of all."""
    request = history_pb2.ListSessionsRequest(
        installation_id=site.installation_id, running_only=running, page_size=1000
    )
    found = await client.history.ListSessions(request)
    return {each.transaction_id for each in found.sessions}
