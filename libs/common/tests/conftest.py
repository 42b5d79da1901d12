"""A store of the small service the foundation is tested with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chargekey_common.eventstore.mapper import Seal
from chargekey_common.eventstore.store import EventStore

from .shelves import EVENTS


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., EventStore]]:
    opened: list[EventStore] = []

    def open_one(name: str = "shelves.db", seal: Seal | None = None) -> EventStore:
        opened.append(EventStore("shelves", tmp_path / name, EVENTS, seal))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
