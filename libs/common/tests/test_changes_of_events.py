"""An additive change of an event: what was stored before is read, and what comes after too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from nats.aio.client import Client

from chargekey_common.eventstore.mapper import UnknownTopicError
from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.published.envelope import Catalogue, PublishedEvent
from chargekey_common.relay import Publication, Relay

from . import shelves as older
from .agreement import events, running
from .shelves import ShelfLabelled, Shelves

OpenStore = Callable[..., EventStore]


class Labelled(DomainEvent, frozen=True, kw_only=True):
    """A version later, with a colour."""

    label: str
    colour: str = "none"


class NewerShelfLabelled(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "shelves"
    about: ClassVar[tuple[str, str]] = ("shelf", "shelf_id")

    shelf_id: str
    label: str = ""
    colour: str = "none"


# One name per fact, in every version.
NewerShelfLabelled.__name__ = "ShelfLabelled"


def publication(record: Record) -> Publication:
    event: Labelled = record.event
    return Publication(
        NewerShelfLabelled(shelf_id=record.originator_id, label=event.label, colour=event.colour)
    )


@pytest.fixture
def open_newer_store(tmp_path: Path) -> Iterator[Callable[[], EventStore]]:
    opened: list[EventStore] = []

    def open_one() -> EventStore:
        opened.append(
            EventStore("shelves", tmp_path / "shelves.db", (Labelled, older.Named, older.Cleared))
        )
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def evolve(_: Any, event: Labelled) -> str:
    return f"{event.label}/{event.colour}"


def paint(store: EventStore, command_id: str, label: str, colour: str) -> None:
    def decide(work: Any) -> None:
        work.record(work.load(evolve, "s"), Labelled(label=label, colour=colour))

    store.execute("paint", type(None), Context("me", command_id), decide)


async def test_a_newer_class_reads_old_records_and_the_relay_goes_on_behind_them(
    nats_client: Client, open_sqlite_store: OpenStore, open_newer_store: Callable[[], EventStore]
) -> None:
    before = Shelves(open_sqlite_store())
    before.label(Context("me", "c1"), shelf_id="s", label="one")
    async with running(Relay(nats_client, before.store, older.publication)):
        await heard(nats_client, 1)
    [first] = await events(nats_client)
    before.store.close()

    store = open_newer_store()
    assert store.load(evolve, "s").state == "one/none"
    paint(store, "c2", "two", "red")
    assert store.load(evolve, "s").state == "two/red"
    async with running(Relay(nats_client, store, publication)):
        await heard(nats_client, 2)
    again, second = await events(nats_client)
    assert (again.seq, again.data, again.headers) == (first.seq, first.data, first.headers)

    # Whoever is a version behind reads what he knows of it, and the newer reads both.
    subject = "shelves.v1.shelf.s.ShelfLabelled"
    told = [Catalogue(ShelfLabelled).decode(subject, m.data) for m in (first, second)]
    assert told == [
        ShelfLabelled(shelf_id="s", label="one"),
        ShelfLabelled(shelf_id="s", label="two"),
    ]
    assert [Catalogue(NewerShelfLabelled).decode(subject, m.data) for m in (first, second)] == [
        NewerShelfLabelled(shelf_id="s", label="one"),
        NewerShelfLabelled(shelf_id="s", label="two", colour="red"),
    ]
    # What it does not know at all it can tell from what it cannot read.
    assert Catalogue(ShelfLabelled).decode("shelves.v1.shelf.s.ShelfPainted", b"{}") is None


def test_a_store_with_newer_events_is_not_read_by_halves(
    open_sqlite_store: OpenStore, open_newer_store: Callable[[], EventStore]
) -> None:
    """Back to the version before: an error with a name, and nothing is left out quietly."""
    store = open_newer_store()
    paint(store, "c1", "one", "red")
    store.close()
    with pytest.raises(msgspec.ValidationError, match="colour"):
        open_sqlite_store().load(older.evolve, "s")


def test_a_stored_event_of_an_unknown_type_is_named(
    open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    store = open_sqlite_store()
    Shelves(store).label(Context("me", "c1"), shelf_id="s", label="one")
    store.close()
    without = EventStore("shelves", tmp_path / "shelves.db", (older.Cleared,))
    try:
        with pytest.raises(UnknownTopicError, match=r"shelves\.Labelled"):
            without.read(0, 10)
    finally:
        without.close()


async def heard(client: Client, count: int) -> None:
    async with asyncio.timeout(20):
        while len(await events(client)) < count:
            await asyncio.sleep(0.01)
