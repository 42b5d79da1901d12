"""Meter values: known of every running session, told now and then, in whatever replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from chargekey_common.process import cancel
from chargekey_common.published.envelope import attributes
from chargekey_common.published.sessions import SessionEnded, SessionUpdated
from chargekey_gateway.application.metering import SELDOM
from chargekey_gateway.sessions.running import Metered
from chargekey_gateway.sessions.transactions import Phase

from .replicas import (
    MINUTE,
    NOW,
    OTHERS_CARD,
    Replica,
    Replicas,
    events_of,
    following,
    messages_of,
)


@pytest_asyncio.fixture
async def replica(replicas: Replicas) -> AsyncIterator[Replica]:
    task = asyncio.create_task(replicas[0].gateway.run())
    yield replicas[0]
    await cancel(task)


async def told(replica: Replica) -> list[SessionUpdated]:
    await replica.gateway.metering.idle()
    return [each for each in await events_of(replica.client) if isinstance(each, SessionUpdated)]


def reads(
    replica: Replica,
    meter: int | None,
    *,
    transaction: int | None,
    at: int | None = None,
    charger_id: str = "first",
    connector: int = 1,
    power: int | None = None,
) -> None:
    replica.gateway.charging.metered(
        replica.charger(charger_id),
        transaction=transaction,
        connector=connector,
        at=replica.now if at is None else at,
        meter=meter,
        power=power,
    )


async def test_the_first_reading_is_told_and_then_one_in_a_while(replica: Replica) -> None:
    started = await replica.start()
    for minute in range(33):
        replica.now = NOW + minute * MINUTE
        reads(replica, 100 + minute, transaction=started.transaction_id, power=7000)
    events = await told(replica)
    assert [(event.at, event.meter) for event in events] == [
        (NOW + minutes * MINUTE, 100 + minutes) for minutes in (0, 15, 30)
    ]
    assert {event.power for event in events} == {7000}
    assert SELDOM == 15 * MINUTE
    known = replica.running.metered(started.transaction_id)
    assert known == Metered(NOW + 32 * MINUTE, 132)
    *_, message = await messages_of(replica.client)
    assert attributes(message.headers).actor == "charger:first"
    assert (events[0].user_id, events[0].identification_id) == ("ada", "pin")


async def test_sessions_are_told_of_apart(replica: Replica) -> None:
    one = await replica.start()
    two = await replica.start("second", token=OTHERS_CARD)
    reads(replica, 200, transaction=one.transaction_id)
    reads(replica, 300, transaction=two.transaction_id, charger_id="second")
    assert [event.meter for event in await told(replica)] == [200, 300]


async def test_older_readings_and_readings_from_before_say_nothing(replica: Replica) -> None:
    started = await replica.start()
    reads(replica, 90, transaction=started.transaction_id, at=NOW - 10 * SELDOM)
    reads(replica, 200, transaction=started.transaction_id, at=NOW)
    replica.now += 2 * SELDOM
    reads(replica, 190, transaction=started.transaction_id, at=NOW - 1)
    reads(replica, 200, transaction=started.transaction_id, at=NOW)
    assert [event.meter for event in await told(replica)] == [200]


async def test_a_clock_ahead_does_not_silence_what_comes_after(replica: Replica) -> None:
    started = await replica.start()
    reads(replica, 200, transaction=started.transaction_id, at=NOW + 10 * SELDOM)
    replica.now += SELDOM
    reads(replica, 300, transaction=started.transaction_id)
    assert [(event.at, event.meter) for event in await told(replica)] == [
        (NOW, 200),
        (NOW + SELDOM, 300),
    ]


async def test_power_alone_leaves_the_register(replica: Replica) -> None:
    started = await replica.start()
    reads(replica, None, transaction=started.transaction_id, power=3600)
    (event,) = await told(replica)
    assert (event.meter, event.power) == (100, 3600)


async def test_a_reading_finds_its_session_by_id_or_by_place(replica: Replica) -> None:
    started = await replica.start(connector=2)
    reads(replica, 1000, transaction=None, connector=2)
    replica.now += SELDOM
    reads(replica, 1001, transaction=-1, connector=2)
    by_place, again = await told(replica)
    assert (by_place.transaction_id, by_place.meter) == (started.transaction_id, 1000)
    assert again.meter == 1001


async def test_a_reading_of_no_session_here_is_nobodys(replica: Replica) -> None:
    started = await replica.start()
    reads(replica, 5, transaction=None, connector=0)
    reads(replica, 5, transaction=None, connector=2)
    reads(replica, 5, transaction=started.transaction_id + 1)
    reads(replica, 5, transaction=started.transaction_id, charger_id="second")
    await replica.end(started.transaction_id)
    reads(replica, 5, transaction=started.transaction_id)
    assert await told(replica) == []
    assert replica.running.metered(started.transaction_id) is None


async def test_transaction_events_are_readings_too(replica: Replica) -> None:
    await replica.take()
    replica.now += 2 * SELDOM
    await replica.take(
        Phase.UPDATED, number=1, token=None, at=NOW + SELDOM, meter=450, power=11_000
    )
    assert [(event.meter, event.power) for event in await told(replica)] == [
        (100, None),
        (450, 11_000),
    ]


async def test_the_last_reading_is_known_to_every_replica_and_after_a_restart(
    replica: Replica, replicas: Replicas
) -> None:
    started = await replica.start()
    reads(replica, 777, transaction=started.transaction_id)
    await replica.gateway.metering.idle()
    other = replicas[1]
    async with following(other) as caught_up:
        await caught_up()
        assert other.running.metered(started.transaction_id) == Metered(NOW, 777)
        session = other.running.get(started.transaction_id)
        assert session is not None
        await other.gateway.charging.end_in_the_books(session.session_id, "user:owner")
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.meter_stop == 777
