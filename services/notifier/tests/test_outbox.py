"""The queue: once an event, in order, durable; one process's file, or any replicas' schema."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.eventstore.recorder import Handled, StoreInUseError
from chargekey_common.positions import Position
from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_common.testing.tables import execute
from chargekey_notifier.mails.kinds import ADMINISTRATOR, Mail
from chargekey_notifier.mails.outbox import HOUR, TOLD_WITHIN, Outbox

LATER = 2**63 - 1
MAIL = Mail("e1", ADMINISTRATOR, "user_blocked", "u1", 5, "home", due_at=5)


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


def first(outbox: Outbox) -> Mail | None:
    """Return the mail that is sent next, whenever it is due."""
    return next(iter(outbox.due(now=LATER)), None)


def outcomes(place: Path | Postgres) -> dict[str, str | None]:
    return dict(execute(place, "SELECT event_id, outcome FROM mails"))


def test_mails_come_out_in_the_order_they_went_in_and_each_until_it_is_settled(
    outbox: Outbox,
) -> None:
    other = msgspec.structs.replace(MAIL, event_id="e2", installation_id=None)
    outbox.add(handled(1), MAIL)
    outbox.add(handled(2), other)
    assert first(outbox) == MAIL
    assert first(outbox) == MAIL
    outbox.settle(MAIL, "sent")
    assert first(outbox) == other
    outbox.settle(other, "user_unknown")
    assert first(outbox) is None


def test_what_was_handled_or_is_known_by_its_event_is_not_queued_again(outbox: Outbox) -> None:
    outbox.add(handled(7), MAIL)
    outbox.settle(MAIL, "sent")
    outbox.add(handled(7), MAIL)
    outbox.add(handled(3, "b2"), MAIL)
    assert outbox.waiting() == 0
    later = msgspec.structs.replace(MAIL, event_id="e2")
    outbox.add(handled(3, "b2"), later)
    assert outbox.waiting() == 0
    outbox.add(handled(4, "b2"), later)
    assert outbox.waiting() == 1


def test_another_recipient_of_the_same_event_gets_a_mail_too(outbox: Outbox) -> None:
    outbox.add(handled(1), MAIL)
    outbox.add(handled(2), msgspec.structs.replace(MAIL, recipient="owner"))
    assert outbox.waiting() == 2


def test_what_waits_and_what_was_handled_outlive_the_process(made: Path | Postgres) -> None:
    with closing(Outbox(made)) as outbox:
        outbox.add(handled(5), MAIL)
    with closing(Outbox(made)) as outbox:
        assert first(outbox) == MAIL
        outbox.add(handled(5), msgspec.structs.replace(MAIL, event_id="e2"))
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
    one.add(handled(1), MAIL)
    assert first(one) == first(other) == MAIL
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
        outbox.add(position, mail)

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
            outbox.add(handled(number, generation), event)
        queued = []
        while (mail := first(outbox)) is not None:
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
    outbox.add(handled(2), msgspec.structs.replace(MAIL, event_id="e2"))
    for _ in range(2):
        outbox.add(msgspec.structs.replace(handled(1), again="e1"), MAIL)
    assert outbox.set_aside_for(handled(1).reaction) == []
    assert outbox.waiting() == 2
    assert outbox.handled(handled(1).reaction) == handled(2).position


NOW = 1_795_000_000_000_000_000
TOLD = msgspec.structs.replace(
    MAIL, kind="permission_given", recipient="user:kari", topic="p1", at=NOW, due_at=None
)


def told(number: int, **changes: Any) -> Mail:
    return msgspec.structs.replace(TOLD, event_id=f"e{number}", **changes)


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: NOW)


def test_a_mail_that_is_to_be_tried_again_holds_back_its_recipients_others_alone(
    outbox: Outbox,
) -> None:
    """M13."""
    first, second = told(1, recipient="user:kari", topic=None), told(2, topic=None)
    other = told(3, recipient="user:ola", topic=None)
    link = told(4, recipient="user:per", kind="sign_in_link", topic=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time_ns", lambda: NOW)
        outbox.add(handled(1), first, second, other, link)
    found = [each.event_id for each in outbox.due(now=NOW, most=8)]
    assert found == ["e4", "e1", "e3"]
    assert [each.event_id for each in outbox.due(now=NOW, most=2)] == ["e4", "e1"]
    busy = ["user:ola", "user:per"]
    assert [each.event_id for each in outbox.due(now=NOW, busy=busy, most=8)] == ["e1"]
    outbox.postpone(first, until=NOW + 5)
    assert [each.event_id for each in outbox.due(now=NOW, most=8)] == ["e4", "e3"]
    assert (outbox.attempts(first), outbox.attempts(second)) == (1, 0)
    assert outbox.due(now=NOW + 5, busy=busy, most=8)[0].event_id == "e1"


@pytest.mark.usefixtures("at_noon")
def test_a_link_to_sign_in_waits_for_no_mail_that_is_to_be_tried_again(outbox: Outbox) -> None:
    """M20: nor for a link before it; and nobody is sent two mails at once."""
    kari = {"recipient": "user:kari", "topic": None}
    first, second = told(1, **kari), told(2, **kari)
    links = [told(number, kind="sign_in_link", **kari) for number in (3, 4)]
    outbox.add(handled(1), first, second, told(5, recipient="user:ola", topic=None))
    assert [each.event_id for each in outbox.due(now=NOW, most=8)] == ["e1", "e5"]
    outbox.postpone(first, until=NOW + 10)
    outbox.add(handled(2), *links)
    assert [each.event_id for each in outbox.due(now=NOW, most=8)] == ["e3", "e5"]
    assert [each.event_id for each in outbox.due(now=NOW + 10, most=8)] == ["e3", "e5"]
    assert outbox.due(now=NOW + 10, busy=["user:kari", "user:ola"], most=8) == []
    outbox.postpone(links[0], until=NOW + 10)
    assert [each.event_id for each in outbox.due(now=NOW, most=8)] == ["e4", "e5"]
    outbox.settle(links[1], "sent")
    assert [each.event_id for each in outbox.due(now=NOW, most=8)] == ["e5"]
    outbox.settle(links[0], "sent")
    assert [each.event_id for each in outbox.due(now=NOW + 10, most=8)] == ["e1", "e5"]


@pytest.mark.usefixtures("at_noon")
def test_what_is_not_due_yet_waits_and_holds_nothing_back(outbox: Outbox) -> None:
    """M8, M13."""
    later = told(1, topic=None, due_at=NOW + 10)
    outbox.add(handled(1), later, told(2, topic=None))
    assert [each.event_id for each in outbox.due(now=NOW, most=8)] == ["e2"]
    assert (outbox.waiting(now=NOW), outbox.waiting()) == (1, 2)
    assert [each.event_id for each in outbox.due(now=NOW + 10, most=8)] == ["e1"]


@pytest.mark.usefixtures("at_noon")
def test_one_topic_is_told_once_an_hour_by_mails_of_one_kind(outbox: Outbox) -> None:
    """M10: also when everything is told again."""
    for number in (1, 2, 3):
        outbox.add(handled(number), told(number))
    outbox.add(handled(4), told(4, topic="p2"), told(4, recipient="user:ola"))
    outbox.add(handled(5), told(5, kind="permission_removed"))
    for number in (1, 2, 3):
        outbox.add(handled(number, "b2"), told(number))
    waiting = outbox.due(now=LATER, most=8)
    assert {(each.recipient, each.topic) for each in waiting} == {
        ("user:kari", "p1"),
        ("user:ola", "p1"),
    }
    assert outbox.waiting(now=NOW) == 4
    assert outbox.waiting() == 5
    # The hour after that is another's.
    outbox.settle(told(1), "sent")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time_ns", lambda: NOW + 2 * HOUR)
        outbox.add(handled(6), told(6, at=NOW + 2 * HOUR))
    assert outbox.waiting(now=NOW + 2 * HOUR) == 5
    # What was told with another is not told when a lost bus has all of it told again.
    outbox.settle(told(2), "sent")
    outbox.settle(told(6), "sent")
    outbox.add(handled(3, "c3"), told(3))
    assert outbox.waiting() == 3


@pytest.mark.usefixtures("at_noon")
def test_what_was_dropped_was_told_nobody_and_puts_nothing_off(outbox: Outbox) -> None:
    """M10: an offer that was taken back at once, and then made again."""
    outbox.add(handled(1), told(1))
    outbox.settle(told(1), "offered_no_longer")
    outbox.add(handled(2), told(2))
    assert [each.event_id for each in outbox.due(now=NOW, most=8)] == ["e2"]


@pytest.mark.usefixtures("at_noon")
def test_a_mail_to_several_becomes_one_for_each_of_them_once(outbox: Outbox) -> None:
    """M4."""
    group = told(1, recipient="owners:home")
    outbox.add(handled(1), group)
    for _ in range(2):
        outbox.spread(group, ["user:kari", "user:ola"])
    # Somebody owns it since: this was told before him.
    outbox.spread(group, ["user:per"])
    assert outbox.waiting() == 2
    outbox.settle(told(1, recipient="user:kari"), "sent")
    (left,) = outbox.due(now=NOW, most=8)
    assert left == told(1, recipient="user:ola", due_at=NOW)


@pytest.mark.usefixtures("at_noon")
def test_what_is_days_old_is_told_nobody_but_links_are_sent(outbox: Outbox) -> None:
    """M14: a stream that is read from its beginning tells of years."""
    old = NOW - TOLD_WITHIN - 1
    outbox.add(handled(1), told(1, at=old), told(2, at=old + 1, topic=None))
    outbox.add(handled(2), told(3, at=old, kind="invitation", topic=None))
    assert outbox.waiting() == 2
    assert outbox.handled(handled(1).reaction) == handled(2).position
