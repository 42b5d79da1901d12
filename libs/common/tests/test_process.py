"""A service's life: what is owned ends, even when it swallows being told so once."""

from __future__ import annotations

import asyncio

from chargekey_common.process import Lifetime


async def test_work_that_swallowed_its_cancellation_is_cancelled_again() -> None:
    swallowed = asyncio.Event()

    async def deaf_once() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    lifetime = Lifetime()
    lifetime.own(deaf_once(), "deaf")
    await asyncio.sleep(0)  # a task cancelled before its first step never runs
    async with asyncio.timeout(10):
        assert await lifetime.close()
    assert swallowed.is_set()
