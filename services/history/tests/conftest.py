"""The past in a file and in a schema, and the stream as the gateway fills it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.postgres import Postgres
from chargekey_history.projections.past import Past

from .sessions import Stream

OpenPast = Callable[..., Past]


def beside(place: Path | Postgres, name: str) -> Path | Postgres:
    """Return another place of the same kind."""
    if isinstance(place, Postgres):
        return msgspec.structs.replace(place, schema=f"{place.schema}_{name}")
    return place.with_name(f"{name}.db")


@pytest.fixture
def open_past(place: Path | Postgres) -> Iterator[OpenPast]:
    """Return what opens a past: the same one again, as another replica, or a named one."""
    opened: list[Past] = []

    def open_one(name: str = "", *, lock_timeout: float = 5.0) -> Past:
        where = beside(place, name) if name else place
        if isinstance(where, Postgres):
            Past.migrate(where)
        opened.append(Past(where, lock_timeout=lock_timeout))
        return opened[-1]

    yield open_one
    for past in opened:
        past.close()


@pytest.fixture
def past(open_past: OpenPast) -> Past:
    return open_past()


@pytest_asyncio.fixture
async def stream(nats_client: Client) -> AsyncIterator[Stream]:
    stream = Stream(nats_client)
    await stream.make()
    yield stream
