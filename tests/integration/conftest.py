"""One whole system for the stories that only call it, as `chargekey up` runs it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.system import System


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Yield a system in which chargers, cards and addresses are those of one test each."""
    directory = tmp_path_factory.mktemp("system")
    said = directory / "said"
    command = [sys.executable, str(Path(sysconfig.get_path("scripts")) / "chargekey")]
    command += ["up", "--json", "--data", str(directory / "data")]
    with (
        said.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready, said.read_text()
            yield msgspec.json.decode(ready, type=System)
        finally:
            process.terminate()
    assert "ended unexpectedly" not in said.read_text()


@pytest.fixture
def data(system: System) -> DataDirectory:
    return DataDirectory(Path(system.data))


@pytest_asyncio.fixture
async def client(data: DataDirectory) -> AsyncIterator[Client]:
    async with connected(data) as client:
        yield client
