"""A card that is nobody's, from the charger to its user: from what was refused, and by scanning."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chargekey_stack.simulator import SimulatedCharger, Version, simulated_charger

from .running_system import RunningSystem
from .test_commands import Site

PATIENCE = 30.0
LOOK = 0.05  # seconds between two looks at what is told elsewhere, and takes a moment
NEXT, SCANNED = "04D1C0FFEE01", "04D1C0FFEE02"
VERSIONS: list[Version] = ["1.6", "2.1"]


class Garage:
    """A site with one local user, asked by its commands from threads of their own."""

    def __init__(self, system: RunningSystem, site: Site) -> None:
        self.system = system
        self.site = site

    async def run(self, *words: str) -> Any:
        return await asyncio.to_thread(self.system.chargekey, *words)

    async def some(self, what: str, *words: str) -> Any:
        """Return the rows of a list once there are any."""
        return await self.eventually(lambda: self._rows(what, *words))

    async def eventually(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := await ask()):
            assert time.monotonic() < deadline
            await asyncio.sleep(LOOK)
        return found

    async def is_known(self, code: str, position: str) -> None:
        """Return once the gateway has heard of what was done at this position."""
        at = ("--charger", self.site.charger, "--code", code, "--at-least", position)
        assert (await self.run("authorize", *at))["status"] == "Accepted"

    async def _rows(self, what: str, *words: str) -> Any:
        return (await self.run(*words))[what]


async def a_garage(system: RunningSystem, name: str) -> Garage:
    site = await asyncio.to_thread(Site, system, name)
    await asyncio.to_thread(site.is_known)
    return Garage(system, site)


def plugged(garage: Garage, version: Version) -> Any:
    site = garage.site
    return simulated_charger(
        garage.system.ready["ocpp"], site.charger, site.password, version=version
    )


async def charges(charger: SimulatedCharger, code: str) -> None:
    assert await charger.authorize(code) == "Accepted"
    assert (await charger.start(code)).status == "Accepted"
    assert await charger.stop() == "Local"


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_unknown_card_is_refused_listed_adopted_and_works_at_the_next_tap(
    system: RunningSystem, version: Version
) -> None:
    """R16, S0-16, S3-51: and what each was decided from can be told, and when."""
    garage = await a_garage(system, f"Adopting-{version}")
    at_site = ("--installation", garage.site.id)
    card = f"{NEXT}{VERSIONS.index(version):02X}"
    async with plugged(garage, version) as charger:
        await charger.boot()
        assert await charger.authorize(card) in {"Invalid", "Unknown"}
        [refusal] = await garage.some("refusals", "refusals", "list", *at_site)
        assert (refusal["reason"], refusal["user_id"]) == ("identification_unknown", None)
        unknown = ("identification", "refusals", *at_site)
        [presented] = await garage.some("refusals", *unknown)
        assert (presented["charger_id"], presented["times"]) == (garage.site.charger_id, 1)
        assert presented["type"] == "rfid"
        assert card not in str([refusal, presented])

        adopt = ("identification", "adopt", presented["id"], "--user", garage.site.user)
        adopted = await garage.run(*adopt)
        assert (await garage.run(*unknown))["refusals"] == []
        await garage.is_known(card, adopted["position"])
        await charges(charger, card)

    [session] = await garage.some("sessions", "sessions", "list", *at_site)
    assert session["identification_id"] == adopted["id"]
    assert session["user_id"] == garage.site.user
    before, after = [
        number((await garage.run("why", each["id"]))["positions"], "identity")
        for each in (refusal, session)
    ]
    assert before < number([adopted["position"]], "identity") <= after


def number(positions: list[str], service: str) -> int:
    """Return how far the service was that a position is of."""
    [found] = [each for each in positions if each.startswith(f"{service}:")]
    return int(found.rpartition(":")[2])


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_card_that_is_presented_while_it_is_waited_for_is_bound_and_works(
    system: RunningSystem, version: Version
) -> None:
    """R16, S0-16, S3-51: one that is somebody's already is not."""
    garage = await a_garage(system, f"Scanning-{version}")
    card = f"{SCANNED}{VERSIONS.index(version):02X}"
    other = await asyncio.to_thread(garage.site.add_user, "Grace", "Hopper")
    scan = ("identification", "scan", "--charger", garage.site.charger, "--user")
    async with plugged(garage, version) as charger:
        await charger.boot()
        bound = await presented(garage, charger, card, *scan, garage.site.user)
        await garage.is_known(card, bound["position"])
        await charges(charger, card)
        another = await presented(garage, charger, f"{card}FF"[2:], *scan, other["id"])
        assert another["id"] != bound["id"]
    listed = ("identification", "list", "--user")
    [card_of_ada] = (await garage.run(*listed, garage.site.user))["identifications"]
    assert (card_of_ada["id"], card_of_ada["type"]) == (bound["id"], "rfid")
    [session] = await garage.some("sessions", "sessions", "list", "--user", garage.site.user)
    assert session["identification_id"] == bound["id"]


async def presented(garage: Garage, charger: SimulatedCharger, card: str, *scan: str) -> Any:
    """Return the answer of a scan during which the card is presented until it is known."""
    scanning = asyncio.create_task(garage.run(*scan))

    async def is_done() -> bool:
        await charger.authorize(card)
        return scanning.done()

    await garage.eventually(is_done)
    return await scanning
