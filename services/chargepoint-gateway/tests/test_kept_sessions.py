"""What the stream of sessions has told, kept in a file: the same in everything from then on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chargekey_common.follower import Message
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import (
    Inputs,
    SessionEnded,
    SessionStarted,
    SessionUpdated,
)
from chargekey_gateway import snapshots
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.sessions.stream import (
    FREE,
    HELD,
    lock_subject,
    register_subject,
    start_subject,
)
from chargekey_gateway.snapshots import Place, Snapshot, Told
from chargekey_gateway.view.view import View

CHARGERS, CARDS = ("first", "second"), ("card", "fob", None)
SITE = "site"
PLACES = {"SESSIONS": Place(9, "then")}


def started(number: int, charger: str, card: str | None, *, shortened: bool) -> SessionStarted:
    return SessionStarted(
        installation_id=SITE,
        charger_id=charger,
        session_id=f"session-{number}",
        connector=1,
        started_at=number,
        meter_start=0,
        status="Accepted",
        reason="open_charger" if card is None else "charger_permission",
        inputs=Inputs(at=number, identification_id=card, token_shortened=shortened),
        user_id=None if card is None else f"user of {card}",
        identification_id=card,
        ocpp_transaction_id=f"tx-{number}" if number % 2 else None,
    )


def ended(transaction_id: int) -> SessionEnded:
    return SessionEnded(
        installation_id=SITE,
        charger_id="first",
        session_id=f"session-{transaction_id}",
        transaction_id=transaction_id,
        connector=1,
        ended_at=1,
        meter_stop=1,
        reason="Local",
    )


def updated(transaction_id: int, at: int) -> SessionUpdated:
    return SessionUpdated(
        installation_id=SITE,
        charger_id="first",
        session_id=f"session-{transaction_id}",
        transaction_id=transaction_id,
        connector=1,
        at=at,
        meter=at,
    )


@st.composite
def streams(draw: st.DrawFn) -> list[Message]:
    """Draw what the stream may tell, in its order: marks right before what they are of."""
    told: list[Message] = []

    def tell(subject: str, data: bytes) -> None:
        told.append(Message(subject, len(told) + 1, data, {}))

    def event(what: PublishedEvent) -> None:
        tell(what.subject, msgspec.json.encode(what))

    for _ in range(draw(st.integers(0, 25))):
        number = draw(st.integers(1, len(told) + 1))
        match draw(st.sampled_from(["start", "start", "end", "update", "register", "lock"])):
            case "start":
                card = draw(st.sampled_from(CARDS))
                if card is not None:
                    tell(lock_subject(card), HELD)
                if draw(st.booleans()):
                    tell(start_subject(f"key-{len(told)}"), b"")
                shortened = draw(st.booleans())
                charger = draw(st.sampled_from(CHARGERS))
                event(started(len(told) + 1, charger, card, shortened=shortened))
            case "end":
                event(ended(number))
            case "update":
                event(updated(number, draw(st.integers(1, 9))))
            case "register":
                tell(register_subject(number), b"%d" % draw(st.integers(0, 9)))
            case _:
                tell(lock_subject("card"), draw(st.sampled_from([HELD, FREE])))
    return told


class Memory:
    """A replica's memory of sessions, and what it has been told of them by its listeners."""

    def __init__(self) -> None:
        self.running = RunningSessions()
        self.seen = Seen(View(), self.running)
        self.told: list[tuple[str, RunningSession]] = []
        self.running.on_start(lambda session: self.told.append(("began", session)))
        self.running.on_end(lambda session: self.told.append(("ended", session)))

    def follow(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.running.handle(message)

    def kept(self) -> Told:
        return Told(self.running.saved(), self.seen.saved())

    def again(self) -> Memory:
        """Return one that was read from what this one was written to."""
        read = Memory()
        told = msgspec.msgpack.decode(msgspec.msgpack.encode(self.kept()), type=Told)
        read.running.restore(told.sessions)
        read.seen.restore(told.seen)
        return read

    def everything(self) -> list[object]:
        """All that is asked of it, as plain values."""
        numbers = range(1, 80)
        return [
            [self.running.of_charger(each) for each in CHARGERS],
            [self.running.of_user(f"user of {card}") for card in CARDS],
            [self.running.get(each) for each in numbers],
            [self.running.by_session_id(f"session-{each}") for each in numbers],
            [self.running.of_transaction(at, f"tx-{each}") for at in CHARGERS for each in numbers],
            [self.running.metered(each) for each in numbers],
            [self.running.first_register(each) for each in numbers],
            [self.running.lock(card or "") for card in CARDS],
            self.running.beginnings(),
            (self.running.followed, self.running.last_known),
            self.seen.saved(),
        ]


@settings(max_examples=300)
@given(streams(), st.data())
def test_sessions_that_were_kept_go_on_as_if_all_had_been_read(
    stream: list[Message], data: st.DataObject
) -> None:
    """Wherever in the stream it was, and whatever this replica did itself meanwhile."""
    place = data.draw(st.integers(0, len(stream)))
    memory = Memory()
    memory.follow(stream[:place])
    # Journals tell what they have just written before the stream does.
    for number, ahead in enumerate(stream[place : place + 3], start=place + 1):
        if ahead.subject.endswith("SessionEnded"):
            memory.running.ended(number, msgspec.json.decode(ahead.data, type=SessionEnded))
    read = memory.again()
    assert read.everything() == memory.everything()
    runs = [session for each in CHARGERS for session in memory.running.of_charger(each)]
    assert sorted(session.transaction_id for _, session in read.told) == sorted(
        session.transaction_id for session in runs
    )
    before = len(memory.told), len(read.told)
    memory.follow(stream[place:])
    read.follow(stream[place:])
    assert read.everything() == memory.everything()
    assert memory.told[before[0] :] == read.told[before[1] :]


@pytest.mark.parametrize("knows", [True, False])
def test_sessions_are_in_the_file_with_their_place(tmp_path: Path, *, knows: bool) -> None:
    """A file without them has their stream read from its beginning."""
    memory = Memory()
    memory.running.started(9, started(9, "first", "card", shortened=False), "key")
    kept = memory.kept() if knows else None
    snapshots.write(tmp_path / "view", Snapshot(PLACES, View().saved(), kept))
    read = snapshots.read(tmp_path / "view")
    assert read is not None
    assert read.told == kept
    assert read.places == PLACES
