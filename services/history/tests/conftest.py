"""The past in a file, and the stream as the gateway fills it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_history.projections.past import Past

from .sessions import Stream


@pytest.fixture
def open_past(tmp_path: Path) -> Iterator[Callable[[str], Past]]:
    opened: list[Past] = []

    def open_one(name: str = "history.db") -> Past:
        opened.append(Past(tmp_path / name))
        return opened[-1]

    yield open_one
    for past in opened:
        past.close()


@pytest.fixture
def past(open_past: Callable[[], Past]) -> Past:
    return open_past()


@pytest_asyncio.fixture
async def stream(nats_client: Client) -> AsyncIterator[Stream]:
    stream = Stream(nats_client)
    await stream.make()
    yield stream
