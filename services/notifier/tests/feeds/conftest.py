"""Feeds of each kind of database, and the streams they are filled from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.postgres import Postgres
from chargekey_notifier.feeds.store import Feeds

from .streams import Streams


@pytest.fixture
def feeds(place: Path | Postgres) -> Iterator[Feeds]:
    if isinstance(place, Postgres):
        Feeds.migrate(place)
    feeds = Feeds(place)
    yield feeds
    feeds.close()


@pytest.fixture
def file_feeds(tmp_path: Path) -> Iterator[Feeds]:
    feeds = Feeds(tmp_path / "feeds.db")
    yield feeds
    feeds.close()


@pytest.fixture
def postgres_feeds(postgres: Postgres) -> Iterator[Feeds]:
    Feeds.migrate(postgres)
    feeds = Feeds(postgres)
    yield feeds
    feeds.close()


@pytest_asyncio.fixture
async def streams(nats_client: Client) -> Streams:
    streams = Streams(nats_client)
    await streams.make()
    return streams
