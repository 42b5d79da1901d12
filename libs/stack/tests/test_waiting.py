"""What `charger list` says of a charger at which somebody has plugged in."""

from __future__ import annotations

import asyncio
from typing import Any

from chargekey_stack.simulator import simulated_charger

from .running_system import RunningSystem

PIN = "#7531"


async def test_a_vehicle_is_waited_for_until_something_is_accepted(system: RunningSystem) -> None:
    """S3-55."""

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(system.chargekey, *arguments)

    site = await run("installation", "create", "--name", "Yard", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    added = await run("charger", "add", *at_site, "--ocpp-identity", "CP-waiting")
    ada = await run("user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Byron")
    pin = await run("identification", "add", "--user", ada["id"], "--type", "pin", "--code", PIN)
    ask = ("authorize", "--charger", "CP-waiting", "--code", PIN, "--at-least", pin["position"])
    await run(*ask, "--at-least", ada["access_position"])

    async def waiting() -> list[int]:
        [listed] = (await run("charger", "list", *at_site))["chargers"]
        found: list[int] = listed["waiting"]
        return found

    async with simulated_charger(system.ready["ocpp"], "CP-waiting", added["password"]) as charger:
        await charger.boot()
        assert await waiting() == []
        await charger.plug_in()
        assert await waiting() == [1]
        assert await charger.authorize("#0000") == "Invalid"
        assert await waiting() == [1]
        assert await charger.authorize(PIN) == "Accepted"
        assert await waiting() == []
    assert await waiting() == []
