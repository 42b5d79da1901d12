"""The queue: once an event, in order, durable; one process's file, or any replicas' schema."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.eventstore.recorder import Handled, StoreInUseError
from chargekey_common.positions import Position
from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_common.testing.tables import execute
from chargekey_notifier.mails.outbox import ADMINISTRATOR, Mail, Outbox

MAIL = Mail("e1", ADMINISTRATOR, "user_blocked", "u1", 5, "home")


def handled(number: int, generation: str = "a1") -> Handled:
    return Handled("notifier-on-user-blocked", Position("identity", generation, number))


@pytest.fixture
def made(place: Path | Postgres) -> Path | Postgres:
    """Return a place with its tables."""
    if isinstance(place, Postgres):
        Outbox.migrate(place)
    return place


@pytest.fixture
def outbox(made: Path | Postgres) -> Iterator[Outbox]:
    with closing(Outbox(made)) as outbox:
        yield outbox


@pytest.fixture
def replicas(postgres: Postgres) -> Iterator[tuple[Outbox, Outbox]]:
    Outbox.migrate(postgres)
    with closing(Outbox(postgres)) as one, closing(Outbox(postgres)) as other:
        yield one, other


def outcomes(place: Path | Postgres) -> dict[str, str | None]:
    return dict(execute(place, "SELECT event_id, outcome FROM mails"))


def test_mails_come_out_in_the_order_they_went_in_and_each_until_it_is_settled(
    outbox: Outbox,
) -> None:
    other = msgspec.structs.replace(MAIL, event_id="e2", installation_id=None)
    outbox.add(MAIL, handled(1))
    outbox.add(other, handled(2))
    assert outbox.first_waiting() == MAIL
    assert outbox.first_waiting() == MAIL
    outbox.settle(MAIL, "sent")
    assert outbox.first_waiting() == other
    outbox.settle(other, "user_unknown")
    assert outbox.first_waiting() is None


def test_what_was_handled_or_is_known_by_its_event_is_not_queued_again(outbox: Outbox) -> None:
    outbox.add(MAIL, handled(7))
    outbox.settle(MAIL, "sent")
    outbox.add(MAIL, handled(7))
    outbox.add(MAIL, handled(3, "b2"))
    assert outbox.waiting() == 0
    later = msgspec.structs.replace(MAIL, event_id="e2")
    outbox.add(later, handled(3, "b2"))
    assert outbox.waiting() == 0
    outbox.add(later, handled(4, "b2"))
    assert outbox.waiting() == 1


def test_another_recipient_of_the_same_event_gets_a_mail_too(outbox: Outbox) -> None:
    outbox.add(MAIL, handled(1))
    outbox.add(msgspec.structs.replace(MAIL, recipient="owner"), handled(2))
    assert outbox.waiting() == 2


def test_what_waits_and_what_was_handled_outlive_the_process(made: Path | Postgres) -> None:
    with closing(Outbox(made)) as outbox:
        outbox.add(MAIL, handled(5))
    with closing(Outbox(made)) as outbox:
        assert outbox.first_waiting() == MAIL
        outbox.add(msgspec.structs.replace(MAIL, event_id="e2"), handled(5))
        assert outbox.waiting() == 1


def test_a_second_process_is_refused_a_file(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "notifier.db")) as outbox:
        assert outbox.waiting() == 0
        with pytest.raises(StoreInUseError):
            Outbox(tmp_path / "notifier.db")


def test_a_schema_without_tables_is_refused(postgres: Postgres) -> None:
    with pytest.raises(NotMigratedError):
        Outbox(postgres)


def test_the_first_outcome_of_a_mail_stays(
    replicas: tuple[Outbox, Outbox], postgres: Postgres
) -> None:
    """A sender that lost its lead may still come with its own."""
    one, other = replicas
    one.add(MAIL, handled(1))
    assert one.first_waiting() == other.first_waiting() == MAIL
    one.settle(MAIL, "sent")
    other.settle(MAIL, "user_unknown")
    assert outcomes(postgres) == {"e1": "sent"}


def test_replicas_with_the_same_event_queue_one_mail(replicas: tuple[Outbox, Outbox]) -> None:
    told: list[str] = []
    for outbox in replicas:
        outbox.on_added(lambda: told.append("added"))
    for number in range(1, 41):
        mail = msgspec.structs.replace(MAIL, event_id=f"e{number}")
        meet(replicas, [(mail, handled(number))] * 2)
    assert replicas[0].waiting() == 40
    assert len(told) == 40


def test_replicas_with_two_events_never_take_the_position_back(
    replicas: tuple[Outbox, Outbox],
) -> None:
    """Also at a reaction's first event, when there is no row yet to wait for."""
    for number in range(1, 41):
        reaction = f"notifier-on-{number}"
        mails = [msgspec.structs.replace(MAIL, event_id=f"{number}-{n}") for n in (1, 2)]
        positions = [Handled(reaction, Position("identity", "a1", n)) for n in (1, 2)]
        meet(replicas, list(zip(mails, positions, strict=True)))
        assert replicas[0].handled(reaction) == positions[1].position


def meet(replicas: tuple[Outbox, Outbox], told: list[tuple[Mail, Handled]]) -> None:
    """Tell each replica its own at the same moment."""
    together = threading.Barrier(len(replicas))

    def add(outbox: Outbox, mail: Mail, position: Handled) -> None:
        together.wait()
        outbox.add(mail, position)

    with ThreadPoolExecutor(len(replicas)) as threads:
        adding = [
            threads.submit(add, outbox, *each) for outbox, each in zip(replicas, told, strict=True)
        ]
    for each in adding:
        each.result()


@given(
    st.lists(st.tuples(st.sampled_from(["a1", "b2"]), st.integers(1, 6)), max_size=30),
)
def test_however_a_bus_repeats_itself_each_event_is_queued_at_most_once(
    told: list[tuple[str, int]],
) -> None:
    """Within a generation a stream is in order; what a filled one repeats is not queued again."""
    with closing(Outbox(Path(":memory:"))) as outbox:
        for generation, number in told:
            event = msgspec.structs.replace(MAIL, event_id=f"e{number}")
            outbox.add(event, handled(number, generation))
        queued = []
        while (mail := outbox.first_waiting()) is not None:
            queued.append(mail.event_id)
            outbox.settle(mail, "sent")
    assert len(queued) == len(set(queued))
    assert set(queued) <= {f"e{number}" for _, number in told}
    if told:
        assert queued[0] == f"e{told[0][1]}"


def unreadable(number: int, user: str) -> SetAside:
    return SetAside(
        handled(number).reaction,
        f"e{number}",
        handled(number).position,
        f"identity.v1.user.{user}.UserBlocked",
        {"ce-id": f"e{number}"},
        b"\x00not JSON",
    )


def test_what_is_set_aside_is_handled_and_waits_in_its_order(outbox: Outbox) -> None:
    reaction = handled(1).reaction
    first, second = unreadable(1, "u1"), unreadable(2, "u1")
    for event in (first, second, first):
        outbox.set_aside(event)
    assert outbox.set_aside_for(reaction) == [first, second]
    assert outbox.set_aside_for("another") == []
    assert outbox.handled(reaction) == handled(2).position
    assert outbox.holds(reaction, "identity.v1.user.u1")
    assert not outbox.holds(reaction, "identity.v1.user.u2")
    # A refilled stream brings it again under another generation: it keeps its place.
    outbox.set_aside(msgspec.structs.replace(first, position=handled(1, "b2").position))
    assert outbox.set_aside_for(reaction) == [first, second]
    assert outbox.handled(reaction) == handled(1, "b2").position


def test_a_mail_is_queued_and_its_event_no_longer_set_aside_at_once_and_once(
    outbox: Outbox,
) -> None:
    outbox.set_aside(unreadable(1, "u1"))
    outbox.add(msgspec.structs.replace(MAIL, event_id="e2"), handled(2))
    for _ in range(2):
        outbox.add(MAIL, msgspec.structs.replace(handled(1), again="e1"))
    assert outbox.set_aside_for(handled(1).reaction) == []
    assert outbox.waiting() == 2
    assert outbox.handled(handled(1).reaction) == handled(2).position
