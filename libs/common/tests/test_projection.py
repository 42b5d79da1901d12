"""A projection answers each question as of one moment, and a later one as of a later."""

from __future__ import annotations

from pathlib import Path

from chargekey_common.eventstore.projection import Projection
from chargekey_common.eventstore.records import DomainEvent, Record
from chargekey_common.eventstore.store import Context, EventStore, Work


class Counted(DomainEvent, frozen=True, kw_only=True):
    """Something was counted."""


def _evolve(state: int | None, _: Counted) -> int:
    return (state or 0) + 1


class Counter(Projection):
    """How many were counted."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self._count = 0

    @property
    def count(self) -> int:
        with self.caught_up():
            return self._count

    def apply(self, _: Record) -> None:
        self._count += 1


def count_one(store: EventStore, command_id: str) -> None:
    def decide(work: Work) -> None:
        work.record(work.load(_evolve, "counter"), Counted())

    store.execute("count", type(None), Context("administrator:local", command_id), decide)


def test_what_happens_during_a_question_is_in_the_next_ones_answer(tmp_path: Path) -> None:
    store = EventStore("things", tmp_path / "things.db", [Counted])
    counter = Counter(store)
    count_one(store, "1")
    with counter.caught_up():
        assert counter.count == 1
        count_one(store, "2")
        assert counter.count == 1
    assert counter.count == 2
    store.close()
