"""One whole system for all tests that only call it, as `chargekey up` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .running_system import RunningSystem, up


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    directory = tmp_path_factory.mktemp("system")
    # Partners' programs that tests run are on this machine.
    anywhere = "--operators-anywhere"
    with up(
        directory / "data", directory / "said", anywhere, working_directory=Path("/")
    ) as running:
        yield running
