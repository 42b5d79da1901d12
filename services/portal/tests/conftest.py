"""The portal's pages over real HTTP, with real gRPC health servers behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

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
async def served(neighbours: Neighbours, tmp_path: Path) -> AsyncIterator[Portal]:
    """Yield the portal, asking these neighbours."""
    async with serving(neighbours.addresses, tmp_path) as portal:
        yield portal
