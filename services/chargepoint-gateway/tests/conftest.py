"""Two gateways at one nats-server, and time for what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer
from chargekey_gateway.sessions import journal, stream

from .replicas import ATTEMPT, NOW, Replica


@pytest.fixture(autouse=True)
def _time_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "ATTEMPT", ATTEMPT)


@pytest_asyncio.fixture
async def replicas(
    nats_server: NatsServer, nats_client: Client
) -> AsyncIterator[tuple[Replica, Replica]]:
    """Yield two gateways that only meet in NATS."""
    await stream.declare(nats_client.jetstream(), now=NOW, replicas=1)
    other = await jetstream.connect(nats_server.bus, "other")
    yield Replica(nats_client), Replica(other)
    await other.close()
