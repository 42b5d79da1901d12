"""The portal's pages over real HTTP, with real gRPC health servers behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from chargekey_portal.services import Services

from .neighbours import NAMES, Neighbours
from .portal import Portal, serving


@pytest_asyncio.fixture
async def neighbours() -> AsyncIterator[Neighbours]:
    """All services, serving."""
    neighbours = Neighbours()
    for name in NAMES:
        await neighbours.start(name)
    yield neighbours
    await neighbours.stop_all()


@pytest_asyncio.fixture
async def served(neighbours: Neighbours) -> AsyncIterator[Portal]:
    """Yield the portal, asking these neighbours."""
    services = Services(neighbours.addresses)
    async with serving(services.ask) as portal:
        yield portal
    await services.close()
