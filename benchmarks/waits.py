"""`at_least`: what it costs whoever need not wait, and how many are woken in a second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

import uvloop

from benchmarks.figures import ROUNDS, Figure, alone, compared
from chargekey_common.positions import Position
from chargekey_gateway.view.progress import Progress

TIMES = 100_000
WAITING = 10_000
_GENERATION = "00000000000000f1"


def figures() -> Iterator[Figure]:
    """Measure waits that are over, and waits of many that are over one by one."""
    over, woken = uvloop.run(_rounds())
    yield compared(
        "a wait for what is there already", over, unit="us", against="a coroutine that does nothing"
    )
    yield alone("waits that are over a second, 10,000 at a time", woken, unit="1/s")


async def _rounds() -> tuple[list[tuple[float, float]], list[float]]:
    over, woken = [], []
    for _ in range(ROUNDS):
        progress = Progress(["access"])
        progress.advance(_at(1))
        wanted = [_at(1)]
        began = perf_counter()
        for _ in range(TIMES):
            await progress.wait_for(wanted, 1)
        took = perf_counter() - began
        began = perf_counter()
        for _ in range(TIMES):
            await _nothing(wanted, 1)
        bare = perf_counter() - began
        over.append((took * 1e6 / TIMES, bare * 1e6 / TIMES))
        waiting = [
            asyncio.create_task(progress.wait_for([_at(number)], 60))
            for number in range(2, WAITING + 2)
        ]
        await asyncio.sleep(0)
        began = perf_counter()
        for number in range(2, WAITING + 2):
            progress.advance(_at(number))
        await asyncio.gather(*waiting)
        woken.append(WAITING / (perf_counter() - began))
    return over, woken


async def _nothing(_: list[Position], __: float) -> None:
    """Return."""


def _at(number: int) -> Position:
    return Position("access", _GENERATION, number)
