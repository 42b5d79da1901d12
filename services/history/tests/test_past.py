"""The rows come out right, in whatever order and however often they are told."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_common.published.sessions import (
    SessionCorrected,
    SessionEnded,
    SessionStarted,
    SessionUpdated,
    StartRefused,
)
from chargekey_common.testing.tables import execute, session
from chargekey_history.errors import HistoryUnavailableError
from chargekey_history.projections.past import (
    Bookmark,
    Fact,
    FilledAnewError,
    Filter,
    Past,
    Period,
    Refusal,
    Session,
)

from .conftest import OpenPast
from .sessions import HOUR, NOON, ended, fact, refused, start_refused, started

EVERYTHING = Filter(limit=1000)


def tell(past: Past, *facts: Fact) -> None:
    past.apply(facts, Bookmark("then", facts[-1].sequence))


def rows(past: Past) -> tuple[Sequence[Session], Sequence[Refusal]]:
    return past.sessions(EVERYTHING), past.refusals(EVERYTHING)


def test_a_session_runs_and_then_has_an_end_and_what_was_delivered(past: Past) -> None:
    tell(past, fact(started("s1"), 17))
    (running,) = past.sessions(EVERYTHING)
    assert (running.transaction_id, running.ended_at, running.energy_wh) == (17, None, None)
    tell(past, fact(ended("s1", 17), 20))
    (over,) = past.sessions(EVERYTHING)
    assert (over.transaction_id, over.ended_at, over.end_reason) == (17, NOON + HOUR, "Local")
    assert over.energy_wh == 7_400


def updated(at: int, meter: int, power: int | None = None) -> SessionUpdated:
    return SessionUpdated(
        installation_id="home",
        charger_id="garage",
        session_id="s1",
        transaction_id=17,
        connector=1,
        at=at,
        meter=meter,
        power=power,
    )


def test_a_running_session_tells_what_it_has_delivered_so_far(past: Past) -> None:
    """The newest counts, however they come; nothing a meter says changes an end."""
    tell(past, fact(started("s1"), 17))
    tell(past, fact(updated(NOON + 2, 3_000, 7_400), 18), fact(updated(NOON + 1, 2_000), 19))
    (running,) = past.sessions(EVERYTHING)
    assert (running.energy_wh, running.power, running.last_updated_at) == (2_000, 7_400, NOON + 2)
    assert running.ended_at is None
    tell(past, fact(updated(NOON + 3, 4_000), 20))
    (running,) = past.sessions(EVERYTHING)
    assert (running.energy_wh, running.power) == (3_000, None)
    tell(past, fact(ended("s1", 17), 21), fact(updated(NOON + 9, 9_999), 22))
    assert [each.energy_wh for each in past.sessions(EVERYTHING)] == [7_400]


def test_a_presumed_end_is_corrected_and_a_correction_stays(past: Past) -> None:
    correction = SessionCorrected(
        installation_id="home",
        charger_id="garage",
        session_id="s1",
        transaction_id=17,
        ended_at=NOON + 2 * HOUR,
        meter_stop=9_000,
        reason="EVDisconnected",
    )
    begun = started("s1", offline=True, ocpp_transaction_id="their-name")
    presumed = ended("s1", 17, presumed=True, messages_missing=3, reason="Other")
    facts = [fact(begun, 17), fact(presumed, 18), fact(correction, 19)]
    tell(past, *facts[:2])
    (session,) = past.sessions(EVERYTHING)
    assert (session.offline, session.ocpp_transaction_id) == (True, "their-name")
    assert (session.presumed, session.messages_missing, session.energy_wh) == (True, 3, 7_400)
    for again in range(2):
        past.apply(facts[2 * (1 - again) :], Bookmark(f"again{again}", 19))
        (session,) = past.sessions(EVERYTHING)
        assert (session.presumed, session.end_reason) == (False, "EVDisconnected")
        assert (session.ended_at, session.energy_wh) == (NOON + 2 * HOUR, 8_000)
        assert session.messages_missing == 3


def test_a_refused_start_tells_that_it_was_offline(past: Past) -> None:
    tell(past, fact(start_refused("s1", offline=True), 1), fact(refused(), 2))
    assert sorted((each.stage, each.offline) for each in past.refusals(EVERYTHING)) == [
        ("authorize", False),
        ("start", True),
    ]


@pytest.mark.parametrize("end_first", [False, True])
def test_a_refused_start_tells_what_flowed_all_the_same(past: Past, end_first: bool) -> None:
    """O25, R24: in whatever order it is told, and in no list of sessions."""
    period = Period(installation_id="home")
    facts = [fact(start_refused("s1"), 1), fact(ended("s1", 1, meter_stop=1_800), 2)]
    tell(past, facts[end_first])
    assert [each.energy_wh for each in past.refusals(EVERYTHING)] == [None] * (not end_first)
    assert not past.refused_charges(period)
    past.apply([facts[not end_first], fact(refused(), 3)], Bookmark("again", 3))
    found = past.refusals(EVERYTHING)
    assert sorted((each.stage, each.energy_wh) for each in found) == [
        ("authorize", None),
        ("start", 800),
    ]
    assert not past.sessions(EVERYTHING)
    assert not past.charges(period)
    [charge] = past.refused_charges(period)
    assert (charge.started_at, charge.ended_at) == (NOON, NOON + HOUR)
    assert (charge.meter_start, charge.meter_stop) == (1_000, 1_800)


def test_an_end_that_is_told_first_waits_for_its_start(past: Past) -> None:
    tell(past, fact(ended("s1", 17), 16))
    assert not past.sessions(EVERYTHING)
    tell(past, fact(started("s1"), 17))
    (session,) = past.sessions(EVERYTHING)
    assert (session.reason, session.energy_wh) == ("installation_permission", 7_400)


@pytest.mark.parametrize(
    ("start", "stop", "energy"),
    [(1_000, 900, 0), (5, 5, 0), (-(2**63), 2**63 - 1, 2**63 - 1)],
)
def test_energy_is_never_negative_and_never_more_than_can_be_told(
    past: Past, start: int, stop: int, energy: int
) -> None:
    tell(past, fact(started("s1", meter_start=start), 1), fact(ended("s1", 1, meter_stop=stop), 2))
    assert [session.energy_wh for session in past.sessions(EVERYTHING)] == [energy]


def test_a_stream_made_again_does_not_change_the_number_the_charger_was_told(past: Past) -> None:
    tell(past, fact(started("s1"), 500), fact(refused(), 501, event_id="r1"))
    before = rows(past)
    again = [fact(started("s1"), 3), fact(refused(), 4, event_id="r1")]
    past.apply(again, Bookmark("again", 4))
    assert rows(past) == before
    assert past.bookmark() == Bookmark("again", 4)


def test_refusals_tell_their_stage_and_the_servers_time(past: Past) -> None:
    tell(
        past,
        fact(refused(), 1, event_id="r1", at=NOON + 1),
        fact(start_refused("s1", started_at=0), 2, event_id="r2", at=NOON + 2),
    )
    assert [(each.id, each.stage, each.at) for each in past.refusals(EVERYTHING)] == [
        ("r2", "start", NOON + 2),
        ("r1", "authorize", NOON + 1),
    ]


def test_entries_come_newest_first_narrowed_by_every_filter_given(past: Past) -> None:
    tell(
        past,
        fact(started("s1", started_at=NOON + 3), 1),
        fact(started("s2", started_at=NOON + 1, charger_id="yard"), 2),
        fact(started("s3", started_at=NOON + 2, user_id=None, identification_id=None), 3),
        fact(started("s4", installation_id="office", charger_id="roof"), 4),
        fact(ended("s1", 1), 5),
    )

    def found(limit: int = 10, **narrowed: str | bool) -> list[str]:
        wanted = msgspec.convert({"limit": limit, **narrowed}, Filter)
        return [session.id for session in past.sessions(wanted)]

    assert found() == ["s1", "s3", "s2", "s4"]
    assert found(limit=2) == ["s1", "s3"]
    assert found(installation_id="home") == ["s1", "s3", "s2"]
    assert found(charger_id="yard") == ["s2"]
    assert found(user_id="anna", running_only=True) == ["s2", "s4"]
    assert not found(installation_id="office", charger_id="yard")


def test_a_charger_names_an_installation_only_while_all_its_entries_are_of_one(past: Past) -> None:
    """R11: a charger that moved must not show the old site's sessions to the new owner."""
    assert past.installation_of("garage") is None
    tell(past, fact(refused(), 1))
    assert past.installation_of("garage") == "home"
    tell(past, fact(started("s1", installation_id="office"), 2))
    assert past.installation_of("garage") is None


def test_the_bookmark_is_written_with_the_rows_or_not_at_all(
    past: Past, open_past: OpenPast
) -> None:
    tell(past, fact(started("s1"), 17))
    impossible = started("s2", charger_id=None)
    with pytest.raises(IntegrityError):
        tell(past, fact(started("s3"), 18), fact(impossible, 19))
    for each in (past, open_past()):
        assert each.bookmark() == Bookmark("then", 17)
        assert [session.id for session in each.sessions(EVERYTHING)] == ["s1"]


def test_tables_of_another_schema_are_filled_anew(
    place: Path | Postgres, open_past: OpenPast
) -> None:
    before = open_past()
    tell(before, fact(started("s1"), 17))
    execute(place, "UPDATE bookmark SET schema = 999")
    execute(place, "ALTER TABLE sessions RENAME reason TO because")
    past = open_past()
    assert past.bookmark() == Bookmark()
    assert rows(past) == ([], [])
    # Its reader knows rows that are gone: had it gone on, they would be missing for ever.
    with pytest.raises(FilledAnewError):
        tell(before, fact(started("s2"), 18))
    assert past.bookmark() == Bookmark()


def test_opening_again_keeps_what_is_there(past: Past, open_past: OpenPast) -> None:
    tell(past, fact(started("s1"), 17))
    assert rows(open_past()) == rows(past)


def test_a_schema_without_tables_or_with_anothers_is_refused(postgres: Postgres) -> None:
    with pytest.raises(NotMigratedError):
        Past(postgres)
    Past.migrate(postgres)
    execute(postgres, "UPDATE bookmark SET schema = 999")
    with pytest.raises(NotMigratedError):
        Past(postgres)


def test_while_another_writes_nothing_is_written_but_all_is_read(
    place: Path | Postgres, open_past: OpenPast
) -> None:
    past = open_past(lock_timeout=0.01)
    tell(past, fact(started("s1"), 17))
    with session(place) as other:
        if isinstance(place, Postgres):
            other.execute("BEGIN")
            other.execute("UPDATE bookmark SET sequence = sequence")
        else:
            other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError):
            tell(past, fact(started("s2"), 18))
        assert [session.id for session in past.sessions(EVERYTHING)] == ["s1"]
        other.execute("ROLLBACK")
    tell(past, fact(started("s2"), 18))
    assert past.bookmark().sequence == 18


def test_what_cannot_be_read_is_said_by_name(place: Path | Postgres, past: Past) -> None:
    execute(place, "DROP TABLE refusals")
    with pytest.raises(HistoryUnavailableError):
        past.refusals(EVERYTHING)


def test_a_replica_behind_another_writes_nothing_twice_and_no_bookmark_back(
    past: Past, open_past: OpenPast
) -> None:
    behind = open_past()
    story = [fact(started(f"s{number}"), number) for number in range(1, 13)]
    past.apply(story[:10], Bookmark("then", 10))
    # Were it written once more it would be an error.
    impossible = msgspec.structs.replace(story[3], event=started("s4", charger_id=None))
    behind.apply([*story[:3], impossible], Bookmark("then", 4))
    assert past.bookmark() == Bookmark("then", 10)
    behind.apply([impossible, *story[4:]], Bookmark("then", 12))
    assert past.bookmark() == Bookmark("then", 12)
    assert len(past.sessions(EVERYTHING)) == 12


def test_a_stream_that_lost_its_tail_is_written_from_its_beginning(past: Past) -> None:
    tell(past, fact(started("s1"), 17))
    past.apply([fact(started("s2"), 3)], Bookmark("then", 3), starting_over=True)
    assert past.bookmark() == Bookmark("then", 3)
    assert len(past.sessions(EVERYTHING)) == 2


def test_replicas_that_write_together_make_the_rows_of_one(postgres: Postgres) -> None:
    Past.migrate(postgres)
    story: list[Fact] = []
    for number in range(1, 301, 3):
        story.append(fact(started(f"s{number}"), number))
        story.append(fact(ended(f"s{number}", number), number + 1))
        story.append(fact(refused(), number + 2))
    together = threading.Barrier(3)

    def follow(seed: int) -> None:
        sizes = random.Random(seed)  # noqa: S311 - nobody's secret
        told = list(story)
        with closing(Past(postgres)) as replica:
            together.wait()
            while told:
                size = sizes.randint(1, 9)
                tell(replica, *told[:size])
                told = told[size:]

    with closing(Past(postgres)) as past, ThreadPoolExecutor(3) as threads:
        following = [threads.submit(follow, seed) for seed in range(3)]
        reached = [0]
        while not all(each.done() for each in following):
            reached.append(past.bookmark().sequence)
        for each in following:
            each.result()
        assert reached == sorted(reached)
        assert past.bookmark() == Bookmark("then", 300)
        with tempfile.TemporaryDirectory() as directory:
            with closing(Past(Path(directory) / "rebuilt.db")) as rebuilt:
                tell(rebuilt, *story)
                assert rows(past) == rows(rebuilt)
            assert len(past.sessions(EVERYTHING)) == 100


@st.composite
def stories(draw: st.DrawFn) -> list[Fact]:
    """Draw what a stream holds, in the order of its sequences, the first of them 1."""
    told = []
    for number in range(draw(st.integers(0, 6))):
        start = draw(st.integers(NOON, NOON + 3))
        meter = draw(st.integers(-5, 5))
        kinds = ["running", "over", "start refused", "start refused, over", "refused"]
        kind = draw(st.sampled_from(kinds))
        session = f"s{number}"
        match kind:
            case "running" | "over":
                told.append(started(session, started_at=start, meter_start=meter))
            case "start refused" | "start refused, over":
                told.append(start_refused(session, started_at=start, meter_start=meter))
            case _:
                told.append(refused())
        if kind.endswith("over"):
            told.append(ended(session, len(told), meter_stop=draw(st.integers(-5, 5))))
    return [fact(event, number, at=NOON + number % 3) for number, event in enumerate(told, 1)]


def expected(story: Sequence[Fact]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Say in Python what the rows should be, looking at the whole story at once."""
    ends = {
        each.event.session_id: each.event for each in story if isinstance(each.event, SessionEnded)
    }
    sessions: list[tuple[object, ...]] = []
    refusals: list[tuple[object, ...]] = []
    for each in story:
        event = each.event
        if isinstance(event, SessionStarted):
            end = ends.get(event.session_id)
            energy = None if end is None else max(0, end.meter_stop - event.meter_start)
            sessions.append((event.started_at, each.sequence, event.session_id, energy))
        elif not isinstance(event, SessionEnded):
            stage, energy = "authorize", None
            if isinstance(event, StartRefused):
                end = ends.get(event.session_id)
                stage = "start"
                energy = None if end is None else max(0, end.meter_stop - event.meter_start)
            refusals.append((each.at, each.id, stage, energy))
    newest_first = sorted(sessions, key=lambda row: (row[0], row[1]), reverse=True)
    return newest_first, sorted(refusals, key=lambda row: (row[0], row[1]), reverse=True)


@given(story=stories(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_any_batches_and_any_repetition_make_the_rows_of_a_rebuild_from_zero(
    story: list[Fact], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(story))) if story else []
    told = data.draw(st.permutations(story + again))
    with tempfile.TemporaryDirectory() as directory:
        rebuilt, lived = Past(Path(directory) / "rebuilt.db"), Past(Path(directory) / "lived.db")
        with closing(rebuilt), closing(lived):
            rebuilt.apply(story, Bookmark("then", len(story)))
            while told:
                size = data.draw(st.integers(1, len(told)))
                batch, told = told[:size], told[size:]
                lived.apply(batch, Bookmark("then", 1), starting_over=True)
            sessions, refusals = rows(lived)
            assert (sessions, refusals) == rows(rebuilt)
    assert (
        [(each.started_at, each.transaction_id, each.id, each.energy_wh) for each in sessions],
        [(each.at, each.id, each.stage, each.energy_wh) for each in refusals],
    ) == expected(story)


@pytest.mark.parametrize(
    ("narrowed", "index"),
    [
        ({"installation_id": "home"}, "sessions_of_installation"),
        ({"installation_id": "home", "charger_id": "c"}, "sessions_of_charger_at_installation"),
        ({"installation_id": "home", "user_id": "u"}, "sessions_of_user_at_installation"),
        ({"installation_id": "home", "running_only": True}, "sessions_of_installation_by_end"),
        ({"charger_id": "c"}, "sessions_of_charger"),
        ({"user_id": "u"}, "sessions_of_user"),
        ({"running_only": True}, "sessions_running"),
    ],
)
def test_a_page_of_a_long_past_is_found_by_an_index(
    tmp_path: Path, narrowed: dict[str, str | bool], index: str
) -> None:
    """A site's own index would do for all of them, by walking through its whole past."""
    past = Past(tmp_path / "history.db")
    asked: list[tuple[str, object]] = []

    def remember(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", remember)
    try:
        past.sessions(msgspec.convert({"limit": 50, **narrowed}, Filter))
    finally:
        event.remove(Engine, "before_cursor_execute", remember)
        past.close()
    statement, parameters = asked[-1]
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()  # type: ignore[arg-type]
    assert f"USING INDEX {index} " in " ".join(f"{step[-1]} " for step in plan)
    assert "TEMP B-TREE FOR ORDER BY" not in str(plan)
