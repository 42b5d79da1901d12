"""What the event store asks of the database it stands on, beside what the library asks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, LiteralString

import msgspec
from eventsourcing.persistence import ApplicationRecorder, Notification, StoredEvent
from prometheus_client import Counter

from chargekey_common.errors import CannotRunError
from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.positions import Position

ERRORS = Counter(
    "database_errors_total", "Uses of a database that it was not there for, or too slow.", ["part"]
)


class StoreInUseError(CannotRunError):
    """Another process has this store open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Another process has {path} open: end it first.")


class StoreUnusableError(CannotRunError):
    """The file cannot be opened, or is no store."""

    def __init__(self, path: Path, trouble: str) -> None:
        super().__init__(f"The store {path} cannot be used: {trouble}.")


class Receipt(msgspec.Struct, frozen=True):
    """What a command answered whom, kept so that it answers him so again.

    `answer` is JSON and holds ids only. `number` is the log's end just after it.
    """

    command_id: str
    command: str
    actor: str
    answer: bytes
    number: int = 0


class Handled(msgspec.Struct, frozen=True):
    """How far a reaction has come in the log of another service, from `after` on.

    The save is refused with IntegrityError where it stands elsewhere by now. `again`
    is the id of an event that was set aside and is handled now: it comes out of the
    quarantine, and the reaction stands where it stood.
    """

    reaction: str
    position: Position
    after: Position | None = None
    again: str | None = None


class Alongside(msgspec.Struct, frozen=True):
    """What is written in the transaction of a save's events."""

    receipt: Receipt | None = None
    handled: Handled | None = None
    set_aside: SetAside | None = None


NOTHING = Alongside()


class Recorder(ApplicationRecorder):
    """Events, receipts and handled positions in one database, saved together or not at all.

    `insert_events` also takes `alongside`. `generation` names this life
    of the store: 16 hex digits, new after a restore.
    """

    generation: str

    @abstractmethod
    def receipt(self, command_id: str) -> Receipt | None:
        """Return what the command answered, if it was ever done."""

    @abstractmethod
    def handled(self, reaction: str) -> Position | None:
        """Return how far the reaction has come, or None before its first event."""

    @abstractmethod
    def ask_quarantine(
        self, statement: LiteralString, values: Sequence[Any]
    ) -> Sequence[Sequence[Any]]:
        """Read what is set aside, outside of any save; see `quarantine.Execute`."""

    @abstractmethod
    def events_of(self, aggregate_id: str) -> Sequence[StoredEvent]:
        """Return an aggregate's events, in their order."""

    @abstractmethod
    def rows_of(self, numbers: Sequence[int]) -> Sequence[Notification]:
        """Return the events of these numbers, in the order of the log; none for an unknown one."""

    @abstractmethod
    def end(self) -> int:
        """Return the number of the last event, 0 in an empty store."""

    @abstractmethod
    def begin_new_generation(self) -> str:
        """Declare this store another life than the one its stream was filled from."""

    @abstractmethod
    def watch(self, saved: Callable[[], None]) -> None:
        """Call `saved` on another thread whenever another process has saved, until closed."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""
