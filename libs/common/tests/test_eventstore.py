from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar

import pytest

from chargekey_common.eventstore.mapper import RecordMapper
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import DomainEvent
from chargekey_common.eventstore.store import (
    CommandIdMalformedError,
    CommandIdReusedError,
    ContendedError,
    Context,
    EventStore,
    Reaction,
)
from chargekey_common.positions import Position

from .shelves import EmptyError, PlainSeal, Shelf, Shelves, evolve

OpenStore = Callable[..., EventStore]


def ask(command_id: str) -> Context:
    return Context(actor="administrator:local", command_id=command_id)


def test_a_command_answers_its_result_and_a_position_that_includes_it(
    open_store: OpenStore,
) -> None:
    store = open_store()
    answer = Shelves(store).label(ask("c1"), shelf_id="s", label="tools")
    assert answer.result == "s=tools"
    assert answer.position == store.position(1)
    [(number, record, _)] = store.read(0, 10)
    assert (number, record.cause, record.actor) == (1, "c1", "administrator:local")


def test_a_repeated_command_answers_as_the_first_time_and_does_nothing(
    open_store: OpenStore,
) -> None:
    shelves = Shelves(open_store())
    first = shelves.label(ask("c1"), shelf_id="s", label="tools")
    shelves.label(ask("c2"), shelf_id="s", label="paint")
    assert shelves.label(ask("c1"), shelf_id="s", label="tools") == first
    assert shelves.store.load(evolve, "s").state == Shelf("paint")


def test_a_command_that_changed_nothing_is_remembered_too(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    shelves.label(ask("c1"), shelf_id="s", label="tools")
    shelves.label(ask("c2"), shelf_id="s", label="tools")
    shelves.label(ask("c3"), shelf_id="s", label="paint")
    shelves.label(ask("c2"), shelf_id="s", label="tools")
    assert shelves.store.load(evolve, "s").state == Shelf("paint")


def test_a_command_that_changed_nothing_answers_the_same_position_for_ever(
    open_store: OpenStore,
) -> None:
    store = open_store()
    shelves = Shelves(store)
    shelves.label(ask("c1"), shelf_id="s", label="tools")
    first = shelves.label(ask("c2"), shelf_id="s", label="tools")
    shelves.label(ask("c3"), shelf_id="s", label="paint")
    assert shelves.label(ask("c2"), shelf_id="s", label="tools") == first


def test_a_refused_command_stores_nothing_and_may_be_sent_again(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    with pytest.raises(EmptyError):
        shelves.clear(ask("c1"), shelf_id="s")
    assert shelves.store.recorder.end() == 0
    shelves.label(ask("c2"), shelf_id="s", label="tools")
    shelves.clear(ask("c1"), shelf_id="s")
    assert shelves.store.load(evolve, "s").state == Shelf("")


def test_another_command_may_not_use_the_same_id(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    shelves.label(ask("c1"), shelf_id="s", label="tools")
    with pytest.raises(CommandIdReusedError):
        shelves.clear(ask("c1"), shelf_id="s")


def test_somebody_elses_command_id_tells_nobody_what_it_answered(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    shelves.label(ask("c1"), shelf_id="s", label="tools")
    eve = Context(actor="user:eve", command_id="c1")
    with pytest.raises(CommandIdReusedError):
        shelves.label(eve, shelf_id="hers", label="tools")


@pytest.mark.parametrize("command_id", ["", "x" * 129, "line\nbreak"])
def test_an_impossible_command_id_is_refused(open_store: OpenStore, command_id: str) -> None:
    with pytest.raises(CommandIdMalformedError):
        Shelves(open_store()).label(ask(command_id), shelf_id="s", label="tools")


def test_a_command_that_meets_another_writer_decides_again_from_a_fresh_read(
    open_store: OpenStore,
) -> None:
    store = open_store()
    shelves, others = Shelves(store), Shelves(store)

    def meet() -> None:
        shelves.before_save = lambda: None
        others.label(ask("other"), shelf_id="s", label="paint")

    shelves.before_save = meet
    shelves.label(ask("c1"), shelf_id="s", label="tools")
    labels = [record.event.label for _, record, _ in store.read(0, 10)]
    assert labels == ["paint", "tools"]


def test_a_command_gives_up_after_a_bounded_number_of_conflicts(open_store: OpenStore) -> None:
    store = open_store()
    shelves, others = Shelves(store), Shelves(store)
    numbers = iter(range(1000))

    def meet() -> None:
        number = next(numbers)
        others.label(ask(f"other {number}".replace(" ", "-")), shelf_id="s", label=str(number))

    shelves.before_save = meet
    with pytest.raises(ContendedError):
        shelves.label(ask("c1"), shelf_id="s", label="tools")


def test_many_threads_lose_nothing(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())

    def work(thread: int) -> None:
        for number in range(25):
            name = f"{thread}-{number}"
            shelves.label(ask(name), shelf_id=name, label=name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [number for number, _, _ in shelves.store.read(0, 1000)]
    assert numbers == list(range(1, 101))


def an_event(number: int, generation: str = "0" * 16) -> Reaction:
    position = Position("identity", generation, number)
    return Reaction(Handled("shelves-on-it", position), f"event-{number}", 0, "somebody")


def test_a_reaction_handles_each_event_once_however_often_it_comes(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    for number in (1, 2, 1, 2, 2, 3):
        shelves.react(an_event(number), "s")
    effects = [record.event.label for _, record, _ in shelves.store.read(0, 10)]
    assert effects == ["after event-1", "after event-2", "after event-3"]
    assert shelves.store.recorder.handled("shelves-on-it") == an_event(3).handled.position


def test_events_carry_the_reaction_and_the_event_they_follow_from(open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    shelves.react(an_event(1), "s")
    [(_, record, _)] = shelves.store.read(0, 10)
    assert (record.actor, record.cause) == ("shelves-on-it", "event-1")


def test_personal_fields_are_sealed_in_the_store_and_empty_once_the_key_is_destroyed(
    open_store: OpenStore,
) -> None:
    seal = PlainSeal()
    shelves = Shelves(open_store(seal=seal))
    shelves.name(ask("c1"), shelf_id="s", user_id="u", name="Ada Lovelace")
    [(_, _, stored)] = shelves.store.read(0, 10)
    assert b"Lovelace" not in stored.state
    assert shelves.store.load(evolve, "s").state == Shelf("Ada Lovelace")
    seal.destroyed.add("u")
    assert shelves.store.load(evolve, "s").state == Shelf("")


class Aged(DomainEvent, frozen=True, kw_only=True):
    personal: ClassVar[tuple[str, ...]] = ("age",)

    age: int


class Misspelt(DomainEvent, frozen=True, kw_only=True):
    personal: ClassVar[tuple[str, ...]] = ("nmae",)

    name: str


@pytest.mark.parametrize("event", [Aged, Misspelt])
def test_a_personal_field_that_could_not_be_read_once_erased_is_refused_at_once(
    event: type[DomainEvent],
) -> None:
    with pytest.raises(TypeError, match="personal"):
        RecordMapper("shelves", [event], PlainSeal())


def test_rows_are_read_by_their_numbers_in_one_go(open_store: OpenStore) -> None:
    """In the log's order, however many; what is not there is left out."""
    store = open_store()
    for number in range(1, 6):
        Shelves(store).label(ask(f"c{number}"), shelf_id=f"s{number}", label="tools")
    everything = store.rows(0, 10)
    assert store.rows_of([4, 9, 2]) == [everything[1], everything[3]]
    assert store.rows_of(range(100_000)) == everything
    assert store.rows_of([]) == []


def test_a_store_keeps_its_generation_until_a_new_one_is_begun(open_store: OpenStore) -> None:
    store = open_store()
    first = store.recorder.generation
    store.close()
    again = open_store()
    assert again.recorder.generation == first
    assert again.recorder.begin_new_generation() != first
