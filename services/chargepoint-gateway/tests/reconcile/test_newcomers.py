"""Of chargers that come together, all are let in before anything else is done for them (O10)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chargekey_common.testing.waiting import until
from chargekey_gateway.reconcile.newcomers import AT_ONCE, Newcomers

NEVER, SOON = 1000.0, 0.01  # seconds

MANY = [f"charger-{number}" for number in range(AT_ONCE + 1)]


async def came(newcomers: Newcomers, chargers: Sequence[str]) -> None:
    for each in chargers:
        newcomers.came(each)
        await asyncio.sleep(0)


async def test_who_comes_alone_is_seen_to_at_once() -> None:
    seen: list[str] = []
    newcomers = Newcomers(seen.append, lull=SOON)
    newcomers.came("one")
    assert seen == ["one"]
    assert "one" not in newcomers
    await asyncio.sleep(2 * SOON)
    newcomers.came("two")
    assert seen == ["one", "two"]


async def test_of_many_nobody_is_seen_to_before_the_last_has_come() -> None:
    seen: list[str] = []
    newcomers = Newcomers(seen.append, lull=NEVER)
    await came(newcomers, MANY)
    assert seen == MANY[:1]
    assert all(each in newcomers for each in MANY[1:])
    newcomers.close()

    seen.clear()
    newcomers = Newcomers(seen.append, lull=0.5)
    await came(newcomers, MANY)
    assert seen == MANY[:1]
    await until(lambda: len(seen) == len(MANY))
    assert seen == MANY


async def test_not_all_are_seen_to_at_once() -> None:
    seen: list[str] = []
    at_once: list[str] = []
    chargers = [*MANY, "later"]

    def see(charger_id: str) -> None:
        if len(seen) == 1:  # those that come with this one come before anything else
            asyncio.get_running_loop().call_soon(lambda: at_once.extend(seen))
        seen.append(charger_id)

    newcomers = Newcomers(see, lull=0.1)
    for each in chargers:
        newcomers.came(each)
    await until(lambda: seen == chargers)
    assert at_once == MANY


async def test_who_has_waited_long_enough_waits_for_nobody_else() -> None:
    seen: list[str] = []
    newcomers = Newcomers(seen.append, lull=SOON, longest=0.0)
    newcomers.came("first")
    newcomers.came("second")
    others = (f"other-{number}" for number in range(10**9))
    async with asyncio.timeout(20):
        while "second" not in seen:
            newcomers.came(next(others))
            await asyncio.sleep(0)
    newcomers.close()


async def test_who_has_gone_is_not_seen_to_and_all_are_where_that_is_wanted() -> None:
    seen: list[str] = []
    newcomers = Newcomers(seen.append, lull=NEVER)
    await came(newcomers, ("first", "gone", "third"))
    newcomers.left("gone")
    newcomers.left("nobody")
    newcomers.all_now()
    assert seen == ["first", "third"]
    newcomers.all_now()
    assert seen == ["first", "third"]
