"""A service's life: what is owned ends, even when it swallows being told so once."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

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


LIVE = """
import sys
from chargekey_common import process
async def fail(): raise RuntimeError
async def start(lifetime):
    lifetime.closing.callback(lambda: print("closed"))
    {0}
process.run(start)
"""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("sys.stderr.write('no such setting\\n'); sys.exit(2)", 2),
        ("lifetime.stop()", 0),
        ("lifetime.own(fail(), 'work')", 1),
        ("raise RuntimeError", 1),
    ],
)
def test_a_process_ends_in_order_with_the_status_of_what_ended_it(body: str, status: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIVE.format(body)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == status
    assert "closed\n" in ended.stdout


def test_a_start_that_exits_says_no_more_than_it_meant_to() -> None:
    body = "sys.stderr.write('no such setting\\n'); sys.exit(2)"
    ended = subprocess.run(
        [sys.executable, "-c", LIVE.format(body)], capture_output=True, text=True, check=False
    )
    assert ended.stderr == "no such setting\n"
