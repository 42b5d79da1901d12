"""Guessing PINs, at a charger and by asking; and the past of a charger, to its owner."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from chargekey_stack.simulator import simulated_charger

from .running_system import RunningSystem
from .test_people import Site

PIN = "#864208"


def ada_with_a_pin(site: Site, *, card: str) -> None:
    ada = site.run(
        *("user", "add-local", "--installation", site.id),
        *("--first-name", "Ada", "--last-name", "Byron"),
    )
    for kind, code in (("pin", PIN), ("rfid", card)):
        added = site.run(
            "identification", "add", "--user", ada["id"], "--type", kind, "--code", code
        )
        assert added["id"], added
    site.becomes(PIN, "Accepted")
    site.becomes(card, "Accepted")


async def test_whoever_guesses_at_a_charger_is_locked_out_and_cards_are_not(
    system: RunningSystem,
) -> None:
    """R14: with the words that a wrong PIN gets, and for the right one too."""
    site = await asyncio.to_thread(Site, system, "Guessed")
    added = await asyncio.to_thread(
        site.run, "charger", "add", "--installation", site.id, "--ocpp-identity", "CP-guessed"
    )
    card = "04A6B7C8"
    await asyncio.to_thread(ada_with_a_pin, site, card=card)
    async with simulated_charger(system.ready["ocpp"], "CP-guessed", added["password"]) as charger:
        await charger.boot()
        assert await charger.authorize(PIN) == "Accepted"
        for number in range(5):
            assert await charger.authorize(f"#77{number:02}") == "Invalid"
        assert await charger.authorize(PIN) == "Invalid"
        assert await charger.authorize(card) == "Accepted"
    ask = ("authorize", "--charger", "CP-guessed", "--code", PIN)
    assert (await asyncio.to_thread(site.run, *ask))["reason"] == "pin_locked_out"
    assert await asyncio.to_thread(site.decided, PIN) == "Accepted"  # at the other charger


def test_whoever_asks_about_pins_is_stopped_and_administrators_are_not(
    system: RunningSystem,
) -> None:
    """R14: an installer with SERVICE at a site reads none of its PINs off the answers."""
    site = Site(system, "Questioned")
    ada_with_a_pin(site, card="04A6B7C9")
    eve = site.invite("eve@questioned.example", "service")
    codes = [*(f"#{number:04}" for number in range(9)), PIN, PIN]
    ask = ("authorize", "--charger", site.charger, "--as", eve)
    answers = [site.run(*ask, "--code", code) for code in codes]
    assert [type(each) for each in answers[:10]] == [dict] * 10
    assert answers[10:] == ["too_many_attempts"]
    assert site.decided(PIN) == "Accepted"


def test_the_owner_sees_the_past_of_a_new_charger_and_his_part_of_one_that_moved(
    system: RunningSystem,
) -> None:
    """R11: of a charger that has none yet, an empty one."""
    before, after = Site(system, "Before"), Site(system, "After")
    owners = [
        before.invite("bo@before.example", "owner"),
        after.invite("al@after.example", "owner"),
    ]

    def seen(charger: str, owner: str) -> list[Any]:
        found = [
            before.run(kind, "list", "--charger", charger, "--as", owner)
            for kind in ("sessions", "refusals")
        ]
        return [next(iter(each.values())) if isinstance(each, dict) else each for each in found]

    assert seen(before.charger, owners[0]) == [[], []]
    assert seen(before.charger, owners[1]) == ["permission_denied"] * 2
    before.run("charger", "move", before.charger, "--installation", after.id)
    deadline = time.monotonic() + 20
    while seen(before.charger, owners[1]) != [[], []]:
        assert time.monotonic() < deadline
    assert seen(before.charger, owners[0]) == ["permission_denied"] * 2
