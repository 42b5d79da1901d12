"""What a service can be asked about, in memory, from its own events."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore

CHUNK = 1000

CaughtUp = Callable[[], contextlib.AbstractContextManager[None]]
"""A projection's own, for its parts; to be entered again by who is in it already."""


class Projection(ABC):
    """Rebuilt at start; safe from any thread; blocking, as it reads the store.

    Each question first reads on to the end of the log, so an answer includes every
    command that was answered before it was asked.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._number = 0
        self._entered = 0  # by the one thread that has the lock

    @contextlib.contextmanager
    def caught_up(self) -> Iterator[None]:
        """Read on, then hold everything still while a question is answered."""
        with self._lock:
            # Whoever is in it already asks as of the moment he came in.
            if not self._entered:
                self._read_on()
            self._entered += 1
            try:
                yield
            finally:
                self._entered -= 1

    def _read_on(self) -> None:
        while events := self._store.read(self._number, CHUNK):
            for number, record, _ in events:
                self.apply(record)
                self._number = number

    @abstractmethod
    def apply(self, record: Record) -> None:
        """Take in one event, in the order of the log."""
