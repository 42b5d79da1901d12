"""What is kept: for ever, or so many days after its end was told."""

from __future__ import annotations

import asyncio

import pytest

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.published.sessions import SessionCorrected, SessionUpdated
from chargekey_history.projections.past import Bookmark, Fact, Filter, Past, Period
from chargekey_history.retention import A_DAY, Retention

from .conftest import OpenPast
from .sessions import NOON, ended, fact, refused, start_refused, started

EVERYTHING = Filter(limit=1000)


def told() -> list[Fact]:
    """Two sessions over, the clock of the second one's charger in 1970; one runs; refusals."""
    return [
        fact(started("old"), 1, at=NOON),
        fact(refused(), 2, event_id="r-old", at=NOON),
        fact(ended("old", 1), 3, at=NOON + A_DAY),
        fact(started("running"), 4, at=NOON),
        fact(started("new", started_at=0), 5, at=NOON + 2 * A_DAY),
        fact(ended("new", 5, ended_at=1), 6, at=NOON + 3 * A_DAY),
        fact(refused(), 7, event_id="r-new", at=NOON + 3 * A_DAY),
    ]


def kept(past: Past) -> list[str]:
    entries = (*past.sessions(EVERYTHING), *past.refusals(EVERYTHING))
    return sorted(each.id for each in entries)


def test_what_ended_before_goes_and_what_runs_stays(past: Past) -> None:
    past.apply(told(), Bookmark("then", 7))
    assert past.forget(NOON) == 0
    assert past.forget(NOON + A_DAY) == 1  # the refusal; the session ended just then
    assert past.forget(NOON + A_DAY + 1) == 1
    assert kept(past) == ["new", "r-new", "running"]
    assert past.forget(NOON + 30 * A_DAY) == 2
    assert kept(past) == ["running"]


def test_filling_anew_does_not_bring_it_back(open_past: OpenPast) -> None:
    """Nor does what is told of it later: no row is made of a correction or of a meter's value."""
    late = [
        fact(
            SessionUpdated(
                installation_id="home",
                charger_id="garage",
                session_id="old",
                transaction_id=1,
                connector=1,
                at=NOON,
                meter=5,
            ),
            8,
        ),
        fact(
            SessionCorrected(
                installation_id="home",
                charger_id="garage",
                session_id="old",
                transaction_id=1,
                ended_at=NOON,
                meter_stop=5,
                reason="Local",
            ),
            9,
        ),
    ]
    for batches in ([told(), late], [[each] for each in (*told(), *late)]):
        past = open_past(f"anew{len(batches)}")
        for batch in batches:
            past.apply(
                batch,
                Bookmark("then", batch[-1].sequence),
                forgotten_before=NOON + A_DAY + 1,
            )
        assert kept(past) == ["new", "r-new", "running"]


def test_what_flowed_after_a_refused_start_goes_with_the_refusal(open_past: OpenPast) -> None:
    """Filled anew as well, in whatever batches; and its end goes by its own time."""
    facts = [
        fact(start_refused("s1"), 1, event_id="r-start", at=NOON),
        fact(ended("s1", 1), 2, at=NOON + A_DAY),
    ]
    period = Period(installation_id="home")
    lived = open_past()
    lived.apply(facts, Bookmark("then", 2))
    assert lived.forget(NOON) == 0
    assert len(lived.refused_charges(period)) == 1
    assert lived.forget(NOON + A_DAY) == 1
    for batches in ([facts], [[each] for each in facts], [[each] for each in facts[::-1]]):
        anew = open_past(f"anew{len(batches)}{batches[0][0].sequence}")
        for batch in batches:
            anew.apply(
                batch, Bookmark("then", 2), starting_over=True, forgotten_before=NOON + A_DAY
            )
        for past in (lived, anew):
            assert kept(past) == []
            assert not past.refused_charges(period)
        assert anew.forget(NOON + A_DAY + 1) == 1
    assert lived.forget(NOON + A_DAY + 1) == 1


def test_without_days_everything_is_kept(past: Past) -> None:
    assert Retention(past, days=0, clock=lambda: NOON).forgotten_before() is None
    assert Retention(past, days=2, clock=lambda: NOON).forgotten_before() == NOON - 2 * A_DAY


async def test_the_task_forgets_as_time_goes_by_and_what_cannot_be_removed_later(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.apply(told(), Bookmark("then", 7))
    now, tries = NOON + 2 * A_DAY, 0
    really = past.forget

    def forget(before: int) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise DatabaseUnavailableError
        return really(before)

    monkeypatch.setattr(past, "forget", forget)
    task = asyncio.create_task(Retention(past, days=1, clock=lambda: now, every=0.01).run())

    async def until(expected: list[str]) -> None:
        async with asyncio.timeout(20):
            while await asyncio.to_thread(kept, past) != expected:
                await asyncio.sleep(0.01)

    await until(["new", "old", "r-new", "running"])
    now += A_DAY
    await until(["new", "r-new", "running"])
    now += 30 * A_DAY
    await until(["running"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_with_nothing_to_forget_ends(past: Past) -> None:
    await Retention(past, days=0, clock=lambda: NOON).run()


def test_a_correction_does_not_prolong_what_is_kept(past: Past) -> None:
    """Or filling anew would forget what is still there."""
    correction = SessionCorrected(
        installation_id="home",
        charger_id="garage",
        session_id="old",
        transaction_id=1,
        ended_at=NOON,
        meter_stop=5,
        reason="Local",
    )
    past.apply([*told(), fact(correction, 8, at=NOON + 9 * A_DAY)], Bookmark("then", 8))
    past.forget(NOON + A_DAY + 1)
    assert kept(past) == ["new", "r-new", "running"]
