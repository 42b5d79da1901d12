"""The queue: once an event, in order, durable, one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.eventstore.recorder import Handled, StoreInUseError
from chargekey_common.positions import Position
from chargekey_notifier.outbox import ADMINISTRATOR, Mail, Outbox

MAIL = Mail("e1", ADMINISTRATOR, "user_blocked", "u1", "home", 5)


def handled(number: int, generation: str = "a1") -> Handled:
    return Handled("notifier-on-user-blocked", Position("identity", generation, number))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "notifier.db")) as outbox:
        yield outbox


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


def test_what_waits_and_what_was_handled_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "notifier.db"
    with closing(Outbox(path)) as outbox:
        outbox.add(MAIL, handled(5))
    with closing(Outbox(path)) as outbox:
        assert outbox.first_waiting() == MAIL
        outbox.add(msgspec.structs.replace(MAIL, event_id="e2"), handled(5))
        assert outbox.waiting() == 1


def test_a_second_process_is_refused(tmp_path: Path, outbox: Outbox) -> None:
    assert outbox.waiting() == 0
    with pytest.raises(StoreInUseError):
        Outbox(tmp_path / "notifier.db")


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
