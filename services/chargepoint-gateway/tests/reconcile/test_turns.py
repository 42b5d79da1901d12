"""Work for many chargers takes turns with everything else on the event loop."""

from __future__ import annotations

import asyncio

from chargekey_gateway.reconcile.turns import Turns


async def test_in_each_iteration_of_the_loop_one_goes_on_in_the_order_they_came() -> None:
    turns = Turns()
    iteration = 0
    taken: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        await turns.mine()
        taken.append((name, iteration))

    several = [asyncio.create_task(work(name)) for name in "abc"]
    while not all(each.done() for each in several):
        iteration += 1
        await asyncio.sleep(0)

    assert [name for name, _ in taken] == ["a", "b", "c"]
    assert len({at for _, at in taken}) == len(taken)


async def test_who_has_gone_holds_nobody_up() -> None:
    turns = Turns()
    gone, waiting = (asyncio.create_task(turns.mine()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()

    async with asyncio.timeout(5):
        await waiting
        await turns.mine()
