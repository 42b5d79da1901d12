"""The pytest plugin: a real nats-server on a free port, a store directory of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """Yield a server with JetStream that this test alone uses, and end it afterwards."""
    server = NatsServer(tmp_path / "nats", token=secrets.token_hex(16))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def nats_client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """Yield a client of the test's own server."""
    client = await jetstream.connect(nats_server.url, "test", token=nats_server.token)
    yield client
    await client.close()
