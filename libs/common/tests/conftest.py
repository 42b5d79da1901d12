"""Stores of the small service the foundation is tested with, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from chargekey_common.eventstore.mapper import Seal
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.store import EventStore
from chargekey_common.postgres import Postgres

from .shelves import EVENTS

OpenStore = Callable[..., EventStore]


def opener(where: Callable[[str], Path | Postgres]) -> Iterator[OpenStore]:
    opened: list[EventStore] = []

    def open_one(name: str = "shelves", seal: Seal | None = None) -> EventStore:
        opened.append(EventStore("shelves", where(name), EVENTS, seal))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def open_sqlite_store(tmp_path: Path) -> Iterator[OpenStore]:
    yield from opener(lambda name: tmp_path / f"{name}.db")


@pytest.fixture
def open_postgres_store(postgres: Postgres) -> Iterator[OpenStore]:
    """Yield what opens a store by its name; the same one twice, as replicas do."""

    def where(name: str) -> Postgres:
        place = msgspec.structs.replace(postgres, schema=f"{postgres.schema}_{name}")
        PostgresRecorder.migrate(place)
        return place

    yield from opener(where)


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    opened: OpenStore = request.getfixturevalue(f"open_{request.param}_store")
    return opened
