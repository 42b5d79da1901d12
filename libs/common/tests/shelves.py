"""A small service to test the foundation with: shelves that get labels and a secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec

from chargekey_common.errors import FailedPreconditionError
from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.eventstore.store import EventStore, Reaction, Work, command
from chargekey_common.positions import Position
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.relay import Publication


class Labelled(DomainEvent, frozen=True, kw_only=True):
    label: str


class Named(DomainEvent, frozen=True, kw_only=True):
    personal: ClassVar[tuple[str, ...]] = ("name",)

    user_id: str
    name: str


class Cleared(DomainEvent, frozen=True, kw_only=True):
    pass


EVENTS = (Labelled, Named, Cleared)


class ShelfLabelled(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "shelves"
    about: ClassVar[tuple[str, str]] = ("shelf", "shelf_id")

    shelf_id: str
    label: str = ""


class ShelfCleared(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "shelves"
    about: ClassVar[tuple[str, str]] = ("shelf", "shelf_id")

    shelf_id: str


class ShelfKey(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "shelves"
    about: ClassVar[tuple[str, str]] = ("key", "shelf_id")

    shelf_id: str
    key: str

    @property
    def subject(self) -> str:
        return f"shelves.v1.key.{self.shelf_id}"


def publication(record: Record) -> Publication:
    key = record.originator_id
    match record.event:
        case Labelled(label=label):
            return Publication(
                ShelfLabelled(shelf_id=key, label=label),
                private=[ShelfKey(shelf_id=key, key=f"key of {label}")],
            )
        case Named():
            return Publication(ShelfLabelled(shelf_id=key))
        case _:
            return Publication(ShelfCleared(shelf_id=key), erased=[f"shelves.v1.key.{key}"])


class EmptyError(FailedPreconditionError):
    code = "empty"
    sentence = "There is nothing on this shelf."


class Shelf(msgspec.Struct, frozen=True):
    label: str


def evolve(_: Shelf | None, event: Labelled | Named | Cleared) -> Shelf:
    match event:
        case Labelled():
            return Shelf(event.label)
        case Named():
            return Shelf(event.name)
        case Cleared():
            return Shelf("")


class Shelves:
    """The application."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.before_save: Callable[[], None] = lambda: None

    @command
    def label(self, work: Work, *, shelf_id: str, label: str) -> str:
        shelf = work.load(evolve, shelf_id)
        if shelf.state != Shelf(label):
            work.record(shelf, Labelled(label=label))
        self.before_save()
        return f"{shelf_id}={label}"

    @command
    def name(self, work: Work, *, shelf_id: str, user_id: str, name: str) -> None:
        work.record(work.load(evolve, shelf_id), Named(user_id=user_id, name=name))

    @command
    def clear(self, work: Work, *, shelf_id: str) -> None:
        shelf = work.load(evolve, shelf_id)
        if shelf.state is None:
            raise EmptyError
        work.record(shelf, Cleared())

    def react(self, reaction: Reaction, shelf_id: str) -> Position:
        def decide(work: Work) -> None:
            shelf = work.load(evolve, shelf_id)
            work.record(shelf, Labelled(label=f"after {reaction.event_id}"))

        return self.store.react(reaction, decide)

    def mirror(self, reaction: Reaction) -> Position:
        """Put up a shelf for the event, never a second one."""

        def decide(work: Work) -> None:
            shelf = work.load(evolve, f"m-{reaction.event_id}")
            if shelf.state is None:
                work.record(shelf, Labelled(label=f"for {reaction.event_id}"))

        return self.store.react(reaction, decide)


class PlainSeal:
    """Seals so that a test can see it did, with keys that can be destroyed."""

    def __init__(self) -> None:
        self.destroyed: set[str] = set()

    def seal(self, owner: str, plain: bytes, context: bytes) -> bytes:
        return owner.encode() + b"|" + context + b"|" + plain[::-1]

    def unseal(self, owner: str, sealed: bytes, context: bytes) -> bytes | None:
        if owner in self.destroyed:
            return None
        assert sealed.startswith(owner.encode() + b"|" + context + b"|")
        return sealed.rpartition(b"|")[2][::-1]
