from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chargekey_common.postgres import Postgres
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.ocpi import tables

from ..neighbours import Neighbours  # noqa: TID252 - there is no other way to name it
from .between import Us, us
from .cpo import Cpo
from .msp import Msp
from .operator_server import OperatorServer


@pytest_asyncio.fixture
async def cpo(
    request: pytest.FixtureRequest, tmp_path: Path, neighbours: Neighbours
) -> AsyncIterator[Cpo]:
    """Yield one in files, or on PostgreSQL where a test says `on_both`."""
    where: Path | Postgres = tmp_path / "ocpi.db"
    feeds_at: Path | Postgres = tmp_path / "feeds.db"
    if getattr(request, "param", "sqlite") == "postgres":
        shared: Postgres = request.getfixturevalue("postgres")
        where = feeds_at = shared
        tables.migrate(shared)
        Feeds.migrate(shared)
    feeds = Feeds(feeds_at)
    cpo = Cpo(where, feeds, neighbours)
    yield cpo
    cpo.database.close()
    feeds.close()


@pytest_asyncio.fixture
async def operator() -> AsyncIterator[OperatorServer]:
    operator = OperatorServer()
    async with operator.serving():
        yield operator


@pytest_asyncio.fixture
async def msp(request: pytest.FixtureRequest) -> AsyncIterator[Msp]:
    """An operator of 2.2.1; with the parameter `plain` it writes tokens as before that."""
    msp = Msp(plain=getattr(request, "param", "") == "plain")
    async with msp.serving():
        yield msp


@pytest_asyncio.fixture
async def here(tmp_path: Path, msp: Msp) -> AsyncIterator[Us]:
    async with us(tmp_path / "ocpi.db", msp, tmp_path) as here:
        yield here
