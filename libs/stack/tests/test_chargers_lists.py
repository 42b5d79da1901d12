"""`chargekey charger convergence`: what chargers should have and have, also those that are away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from chargekey_stack.simulator import SimulatedCharger, simulated_charger

from .a_charger import added_charger
from .running_system import RunningSystem
from .test_commands import Site

CARD, OTHERS = "04C0A1B2C3D401", "04C0A1B2C3D402"
PATIENCE = 30.0
LOOK = 0.05


class Lists:
    """Two chargers of a site as `convergence` shows them, by their names."""

    def __init__(self, system: RunningSystem, site: Site) -> None:
        self._system = system
        self._site = site

    async def run(self, *words: str) -> Any:
        return await asyncio.to_thread(self._system.chargekey, *words)

    async def shown(self) -> dict[str, Any]:
        rows = await self.run("charger", "convergence", "--installation", self._site.id)
        return {each["charger"]: each for each in rows["chargers"]}

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while not condition(shown := await self.shown()):
            assert time.monotonic() < deadline, str(shown)
            await asyncio.sleep(LOOK)
        return shown


def in_line(shown: dict[str, Any], entries: int) -> bool:
    counts = shown["list_entries_wanted"], shown["list_entries_confirmed"]
    return not shown["pending"] and counts == (entries, entries)


async def test_what_a_list_should_have_is_told_of_who_is_there_and_who_is_away(
    system: RunningSystem,
) -> None:
    """R12, O30: it is brought there at once, or when the charger is back."""
    site = await asyncio.to_thread(Site, system, "Lists")
    await asyncio.to_thread(site.is_known)
    lists = Lists(system, site)
    here, away = site.charger, "CP-Lists-away"
    password = await asyncio.to_thread(added_charger, system, site.id, away)
    cards = [
        ("identification", "add", "--type", "rfid", "--code", code, "--user", user)
        for code, user in (
            (CARD, site.user),
            (OTHERS, (await asyncio.to_thread(site.add_user, "Grace", "Hopper"))["id"]),
        )
    ]
    await lists.run(*cards[0])
    url = system.ready["ocpp"]
    async with (
        simulated_charger(url, here, site.password) as first,
        simulated_charger(url, away, password) as second,
    ):
        await first.boot()
        await second.boot()
        both = await lists.until(lambda shown: all(in_line(each, 1) for each in shown.values()))
        assert all(each["online"] for each in both.values())
        assert statuses(first) == statuses(second) == ["Accepted"]

        await second.go_offline()
        await lists.until(lambda shown: not shown[away]["online"])
        await lists.run(*cards[1])
        await lists.run("user", "block", site.user)
        told = await lists.until(
            lambda shown: in_line(shown[here], 2) and shown[away]["list_entries_wanted"] == 2
        )
        assert statuses(first) == ["Accepted", "Blocked"]
        assert statuses(second) == ["Accepted"]
        behind = told[away]
        assert (behind["online"], behind["pending"]) == (False, ["clear_cache", "local_list"])
        assert behind["list_entries_confirmed"] == 1
        assert behind["list_version_wanted"] == behind["list_version_confirmed"] + 1
        assert behind["entries"] == "1 of 2"
        assert behind["since"] is not None
        assert told[here]["list"] == str(first.local_list.version)
        assert told[here]["since"] is None

        await second.come_back()
        both = await lists.until(lambda shown: in_line(shown[away], 2))
        assert statuses(second) == ["Accepted", "Blocked"]
        assert both[away]["list"] == str(second.local_list.version)
    # One that was never here has nothing, and all of it is to come.
    await lists.run("charger", "add", "--installation", site.id, "--ocpp-identity", "CP-Lists-new")
    shown = await lists.until(lambda shown: "CP-Lists-new" in shown)
    new = shown["CP-Lists-new"]
    assert (new["online"], new["list_entries_wanted"], new["converged_at"]) == (False, 2, None)
    assert new["pending"] == ["clear_cache", "settings", "local_list"]


def statuses(charger: SimulatedCharger) -> list[str]:
    return sorted(verdict.status for verdict in charger.local_list.verdicts.values())
