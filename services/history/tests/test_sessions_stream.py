"""The past follows a real stream through everything that can happen to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chargekey_common.postgres import Postgres
from chargekey_common.published.envelope import Attributes, headers
from chargekey_common.testing.tables import execute, session
from chargekey_history.projections.past import Filter, Past
from chargekey_history.projections.sessions_stream import SessionsStream

from .conftest import OpenPast
from .sessions import FIRST, NOON, Stream, ended, refused, start_refused, started

EVERYTHING = Filter(limit=1000)


@asynccontextmanager
async def following(past: Past, stream: Stream) -> AsyncIterator[SessionsStream]:
    """Follow, and be caught up before going on."""
    sessions = SessionsStream(past)
    follower = await sessions.follower(stream.client)
    task = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(20):
            await follower.caught_up.wait()
        yield sessions
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until_applied(past: Past, sequence: int) -> None:
    async with asyncio.timeout(20):
        while past.bookmark().sequence != sequence:
            await asyncio.sleep(0.01)


def ids(past: Past) -> list[str]:
    return sorted(session.id for session in past.sessions(EVERYTHING))


async def test_an_empty_stream_is_caught_up_with_at_once(past: Past, stream: Stream) -> None:
    async with following(past, stream):
        assert ids(past) == []


async def test_a_start_gets_its_sequence_as_transaction_id_and_marks_are_passed_over(
    past: Past, stream: Stream
) -> None:
    async with following(past, stream):
        sequence = await stream.publish(started("s1"))
        assert sequence > FIRST
        last = await stream.publish(ended("s1", sequence))
        await until_applied(past, last)
    (session,) = past.sessions(EVERYTHING)
    assert (session.transaction_id, session.energy_wh) == (sequence, 7_400)


async def test_a_restart_goes_on_where_it_was(
    open_past: OpenPast, stream: Stream, place: Path | Postgres
) -> None:
    past = open_past()
    async with following(past, stream):
        first = await stream.publish(started("s1"))
        await until_applied(past, first)
    last = await stream.publish(started("s2"))
    past = open_past()
    assert past.bookmark().sequence == first
    # Were it read from its beginning, s1 would come again.
    await asyncio.to_thread(execute, place, "DELETE FROM sessions")
    async with following(past, stream) as sessions:
        assert sessions.reach["SESSIONS"].applied == last
        assert ids(past) == ["s2"]


async def test_rebuilding_from_zero_gives_the_same_rows(
    open_past: OpenPast, stream: Stream
) -> None:
    lived = open_past("lived")
    async with following(lived, stream):
        last = 0
        for number in range(30):
            sequence = await stream.publish(started(f"s{number}", started_at=NOON - number))
            await stream.publish(refused())
            await stream.publish(start_refused(f"x{number}"))
            if number % 2:
                last = await stream.publish(ended(f"s{number}", sequence))
        await until_applied(lived, last)
    rebuilt = open_past("rebuilt")
    async with following(rebuilt, stream):
        pass
    assert len(rebuilt.refusals(EVERYTHING)) == 60
    assert rebuilt.sessions(EVERYTHING) == lived.sessions(EVERYTHING)
    assert rebuilt.refusals(EVERYTHING) == lived.refusals(EVERYTHING)


async def test_a_stream_made_again_with_lower_numbers_is_read_from_its_beginning(
    past: Past, stream: Stream
) -> None:
    async with following(past, stream):
        await until_applied(past, await stream.publish(started("s1")))
        await stream.make_again(first=5)
        await until_applied(past, await stream.publish(started("s2")))
    assert ids(past) == ["s1", "s2"]


async def test_a_stream_made_again_while_history_was_down_is_read_from_its_beginning(
    past: Past, stream: Stream
) -> None:
    async with following(past, stream):
        await until_applied(past, await stream.publish(started("s1")))
    await stream.make_again(first=FIRST)
    for number in range(2, 5):
        await stream.publish(started(f"s{number}"))
    async with following(past, stream):
        assert ids(past) == ["s1", "s2", "s3", "s4"]


async def test_a_stream_that_lost_its_tail_is_read_from_its_beginning(
    past: Past, stream: Stream, place: Path | Postgres
) -> None:
    async with following(past, stream):
        last = await stream.publish(started("s1"))
        await until_applied(past, last)
    # The rows go further than the stream does now, and what it has instead is new.
    await asyncio.to_thread(execute, place, "UPDATE bookmark SET sequence = sequence + 9")
    await asyncio.to_thread(execute, place, "UPDATE sessions SET id = 'lost'")
    async with following(past, stream):
        await until_applied(past, last)
    assert ids(past) == ["lost", "s1"]


async def test_what_cannot_be_read_is_skipped_and_holds_nothing_up(
    past: Past, stream: Stream
) -> None:
    event = started("bad")
    about = headers(
        event, Attributes(id="e", at=NOON, cause="", actor=""), source="chargepoint-gateway"
    )
    endless = b'{"session_id":"x","meter_start":1%s}' % (b"0" * 30)
    async with following(past, stream):
        for subject, payload, message_headers in (
            ("sessions.v1.installation.home.SessionPaused", b"{}", about),
            (event.subject, b"{", about),
            (event.subject, b"{}", about),
            (event.subject, endless, about),
            (refused().subject, b'{"charger_id":1}', about),
            (event.subject, b"not without headers", {}),
            (event.subject, b"not without a time", about | {"ce-time": "yesterday"}),
        ):
            await stream.publish_raw(subject, payload, message_headers)
        await until_applied(past, await stream.publish(started("good")))
    assert ids(past) == ["good"]


async def test_a_number_no_column_holds_is_skipped_and_holds_nothing_up(
    past: Past, stream: Stream
) -> None:
    async with following(past, stream):
        await stream.publish(started("bad", meter_start=2**63))
        await until_applied(past, await stream.publish(started("good")))
    assert ids(past) == ["good"]


@pytest.mark.parametrize("text", ["s\0", "s" * 10_000])
async def test_a_text_that_postgresql_refuses_is_skipped_on_either_and_holds_nothing_up(
    past: Past, stream: Stream, text: str
) -> None:
    async with following(past, stream):
        await stream.publish(started(text))
        await until_applied(past, await stream.publish(started("good")))
    assert ids(past) == ["good"]


async def test_two_replicas_follow_and_write_everything_once(
    open_past: OpenPast, stream: Stream
) -> None:
    one, other = open_past(), open_past()
    async with following(one, stream), following(other, stream):
        for number in range(20):
            last = await stream.publish(started(f"s{number}", started_at=NOON - number))
            last = await stream.publish(refused())
        await until_applied(one, last)
    assert len(ids(one)) == 20
    assert len(one.refusals(EVERYTHING)) == 20


async def test_what_cannot_be_written_for_a_while_is_written_later(
    open_past: OpenPast, stream: Stream, place: Path | Postgres
) -> None:
    past = open_past(lock_timeout=0.01)
    with session(place) as other, capture_logs() as logs:
        async with following(past, stream):
            if isinstance(place, Postgres):
                other.execute("BEGIN")
                other.execute("UPDATE bookmark SET sequence = sequence")
            else:
                other.execute("BEGIN IMMEDIATE")
            last = await stream.publish(started("s1"))
            async with asyncio.timeout(20):
                while not any(line["event"] == "history_not_written" for line in logs):
                    await asyncio.sleep(0.01)
            other.execute("ROLLBACK")
            await until_applied(past, last)
        assert ids(past) == ["s1"]
