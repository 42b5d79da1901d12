from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from chargekey_common.postgres import Postgres
from chargekey_notifier.feeds.store import Feeds

from .door import Door, opened


@pytest.fixture
def feeds(tmp_path: Path) -> Iterator[Feeds]:
    feeds = Feeds(tmp_path / "feeds.db")
    yield feeds
    feeds.close()


@pytest_asyncio.fixture
async def door(tmp_path: Path, feeds: Feeds) -> AsyncIterator[Door]:
    async with opened(tmp_path, feeds) as door:
        yield door


@pytest_asyncio.fixture
async def replicas(tmp_path: Path, postgres: Postgres) -> AsyncIterator[tuple[Door, Feeds]]:
    """Yield a replica's door, and what another replica writes with."""
    Feeds.migrate(postgres)
    mine, others = Feeds(postgres), Feeds(postgres)
    async with opened(tmp_path, mine) as door:
        yield door, others
    mine.close()
    others.close()
