"""A service's life: what is owned ends, even when it swallows being told so once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chargekey_common.process import Lifetime, cancel, set_within


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


async def test_who_is_cancelled_while_it_cancels_ends_when_all_of_that_has_ended() -> None:
    told = 0

    async def deaf_thrice() -> None:
        nonlocal told
        while told < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told += 1

    begun = asyncio.Event()
    deaf = asyncio.create_task(deaf_thrice())
    other = asyncio.create_task(asyncio.Event().wait())

    async def owner() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await cancel(deaf, other)

    owning = asyncio.create_task(owner())
    await begun.wait()
    for _ in range(2):  # again, while it waits for the end of both
        owning.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await asyncio.wait({owning})
    assert owning.cancelled()
    assert deaf.done()
    assert other.done()


async def test_a_wait_ends_when_it_is_woken_or_its_time_is_over() -> None:
    event = asyncio.Event()
    assert not await set_within(event, 0.01)
    waiting = asyncio.create_task(set_within(event, 60))
    await asyncio.sleep(0)
    event.set()
    async with asyncio.timeout(10):
        assert await waiting
        assert await set_within(event, 0)


async def test_a_wait_that_is_cancelled_ends_by_that() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(set_within(event, 60))
    await asyncio.sleep(0)
    event.set()  # at the same moment
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


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


MAIN = """
from chargekey_common import process
from chargekey_common.errors import CannotRunError
async def start(lifetime):
    print("started")
    lifetime.stop()
def migrate():
    print("migrated")
def refuse():
    raise CannotRunError("Do this first.")
async def refuse_to_start(lifetime):
    raise CannotRunError("Do this first.")
async def open_nothing(lifetime):
    open("/no/such/file")
async def fail_later(lifetime):
    async def work():
        raise CannotRunError("Somebody has to look.")
    lifetime.own(work(), "work")
process.main("__main__:{start}", migrate="__main__:migrate", refuse="__main__:refuse")
"""


@pytest.mark.parametrize(
    ("start", "arguments", "status", "said"),
    [
        ("start", [], 0, "started"),
        ("start", ["migrate"], 0, "migrated"),
        ("start", ["migrat"], 2, "Usage: -c [migrate | refuse]"),
        ("start", ["migrate", "now"], 2, "Usage: -c [migrate | refuse]"),
        ("start", ["refuse"], 1, "Do this first."),
        ("open_nothing", [], 1, "/no/such/file cannot be used: No such file or directory."),
        ("fail_later", [], 1, "Somebody has to look."),
        ("refuse_to_start", [], 1, "Do this first."),
    ],
)
def test_a_process_serves_or_does_the_job_it_is_called_for(
    start: str, arguments: list[str], status: int, said: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MAIN.format(start=start), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status
    lines = (ended.stdout + ended.stderr).splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["migrate"], 143)])
def test_a_process_that_is_told_to_end_while_it_still_imports_does_so(
    arguments: list[str], status: int, tmp_path: Path
) -> None:
    # Short rests: a signal just before a long one would only be seen at its end.
    slow = "import time\nprint('begun', flush=True)\nfor _ in range(6000):\n    time.sleep(0.01)\n"
    (tmp_path / "slow.py").write_text(slow)
    program = "from chargekey_common import process\n"
    program += "process.main('slow:start', migrate='slow:migrate')"
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.terminate()
        assert process.wait(20) == status
        assert process.stderr is not None
        assert process.stderr.read() == b""
