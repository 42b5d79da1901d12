"""Sessions that are over although nobody said so: a lock never outlives its session (R21)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from chargekey_common.nats_server import NatsServer
from chargekey_common.published.envelope import attributes
from chargekey_common.published.sessions import SessionCorrected, SessionEnded, SessionStarted
from chargekey_gateway.application.charging import Started
from chargekey_gateway.commands import Command, Outcome, Result
from chargekey_gateway.sessions.transactions import Phase
from chargekey_gateway.view.entries import Charger

from .replicas import (
    CARD,
    MINUTE,
    NOW,
    OTHERS_CARD,
    PATIENCE,
    PIN,
    Replica,
    Replicas,
    events_of,
    following,
    messages_of,
)


class Connection:
    """A charger that does nothing it is told."""

    version = "1.6"

    def __init__(self, charger: Charger) -> None:
        self.charger = charger

    async def carry_out(self, _: Command) -> Result:
        return Result(outcome=Outcome.DISCONNECTED)


LONG = 3600.0  # a grace that no test waits for


async def still_presumed(replica: Replica) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await replica.gateway.presuming.idle()


def boots(replica: Replica) -> None:
    replica.gateway.reports.booted(
        replica.charger(), vendor="Acme", model="One", firmware_version=None
    )


def says(replica: Replica, status: str, connector: int = 1) -> None:
    replica.gateway.reports.connector_status(
        replica.charger(), connector=connector, status=status, error_code="NoError"
    )


def free(replica: Replica) -> None:
    says(replica, "Available")


PROOFS = pytest.mark.parametrize("proof", [boots, free])


@PROOFS
async def test_what_proves_that_a_session_is_over_ends_it_after_a_while(
    replicas: Replicas, proof: Callable[[Replica], None]
) -> None:
    """With the last that was heard of its meter; the identification may charge again (R21)."""
    replica, other = replicas
    started = await replica.start()
    replica.gateway.charging.metered(
        replica.charger(), transaction=started.transaction_id, connector=1, at=NOW - 5, meter=640
    )
    proof(replica)
    await replica.gateway.presuming.idle()
    _, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert (ended.presumed, ended.meter_stop, ended.ended_at) == (True, 640, NOW)
    assert (await other.start("second", meter_start=7)).decision.accepted


@PROOFS
async def test_a_session_of_2x_is_presumed_over_likewise(
    replicas: Replicas, proof: Callable[[Replica], None]
) -> None:
    replica, _ = replicas
    await replica.take()
    proof(replica)
    await replica.gateway.presuming.idle()
    _, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert (ended.presumed, ended.meter_stop) == (True, 100)


@PROOFS
async def test_a_stop_within_the_grace_is_the_end(
    replicas: Replicas, proof: Callable[[Replica], None]
) -> None:
    replica = Replica(replicas[0].client, grace=LONG)
    started = await replica.start()
    proof(replica)
    await replica.end(started.transaction_id)
    await replica.gateway.presuming.idle()
    _, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert not ended.presumed


async def test_a_stop_at_another_replica_is_the_end_too(replicas: Replicas) -> None:
    waiting = Replica(replicas[0].client, grace=LONG)
    other = replicas[1]
    async with following(waiting) as caught_up:
        started = await waiting.start()
        boots(waiting)
        await other.end(started.transaction_id)
        await caught_up()
        await waiting.gateway.presuming.idle()
    assert [type(e) for e in await events_of(other.client)] == [SessionStarted, SessionEnded]


@pytest.mark.parametrize("status", ["Charging", "SuspendedEV", "SuspendedEVSE", "Occupied"])
async def test_a_charger_that_goes_on_after_a_boot_is_believed(
    replicas: Replicas, status: str
) -> None:
    replica = Replica(replicas[0].client, grace=LONG)
    started = await replica.start()
    boots(replica)
    says(replica, status, connector=2)
    await still_presumed(replica)
    says(replica, status)
    await replica.gateway.presuming.idle()
    assert replica.running.get(started.transaction_id) is not None


@pytest.mark.parametrize("status", ["Preparing", "Finishing", "Faulted"])
async def test_what_says_nothing_of_a_transaction_leaves_it_presumed_over(
    replicas: Replicas, status: str
) -> None:
    replica, _ = replicas
    started = await replica.start()
    boots(replica)
    says(replica, status)
    await replica.gateway.presuming.idle()
    assert replica.running.get(started.transaction_id) is None


async def test_a_free_connector_stays_free_whatever_comes_next(replicas: Replicas) -> None:
    replica, _ = replicas
    started = await replica.start()
    says(replica, "Available")
    says(replica, "Preparing")
    says(replica, "Charging")
    await replica.gateway.presuming.idle()
    assert replica.running.get(started.transaction_id) is None


@PROOFS
async def test_a_reading_from_after_the_proof_disproves_it(
    replicas: Replicas, proof: Callable[[Replica], None]
) -> None:
    """One that was kept from before does not."""
    replica = Replica(replicas[0].client, grace=LONG)
    started = await replica.start()
    proof(replica)
    tell = replica.gateway.charging.metered
    tell(replica.charger(), transaction=started.transaction_id, connector=1, at=NOW, meter=200)
    await still_presumed(replica)
    tell(replica.charger(), transaction=started.transaction_id, connector=1, at=NOW + 1, meter=201)
    await replica.gateway.presuming.idle()
    assert replica.running.get(started.transaction_id) is not None


@PROOFS
async def test_a_transaction_that_goes_on_disproves_it(
    replicas: Replicas, proof: Callable[[Replica], None]
) -> None:
    """But not by what the charger sends on from before."""
    replica = Replica(replicas[0].client, grace=LONG)
    await replica.take()
    proof(replica)
    await replica.take()
    await still_presumed(replica)
    await replica.take(Phase.UPDATED, number=1, token=None, at=NOW + 1, offline=True)
    await still_presumed(replica)
    await replica.take(Phase.UPDATED, number=2, token=None, at=NOW + 1)
    await replica.gateway.presuming.idle()
    assert replica.running.of_transaction("first", "tx") is not None


async def test_the_first_proof_says_when(replicas: Replicas) -> None:
    """Unless a free connector says it better than a boot."""
    replica, _ = replicas
    await replica.start()
    await replica.start(connector=2, token=OTHERS_CARD)
    for _ in range(2):
        boots(replica)
        replica.now += MINUTE
    for _ in range(2):
        says(replica, "Available", connector=2)
        replica.now += MINUTE
    await replica.gateway.presuming.idle()
    *_, one, two = await events_of(replica.client)
    assert isinstance(one, SessionEnded)
    assert isinstance(two, SessionEnded)
    assert {one.connector: one.ended_at, two.connector: two.ended_at} == {
        1: NOW,
        2: NOW + 2 * MINUTE,
    }


async def test_connectors_and_chargers_are_presumed_of_apart(replicas: Replicas) -> None:
    replica, _ = replicas
    await replica.start(connector=2)
    await replica.start("second", token=CARD)
    says(replica, "Available", connector=1)
    says(replica, "Available", connector=0)  # the charger itself: nothing of its connectors
    await replica.gateway.presuming.idle()
    assert len(replica.running.of_charger("first")) == 1
    boots(replica)
    await replica.gateway.presuming.idle()
    assert len(replica.running.of_charger("first")) == 0
    assert len(replica.running.of_charger("second")) == 1


async def test_a_stop_that_comes_after_all_corrects_what_was_presumed(
    replicas: Replicas,
) -> None:
    """Never dropped, and once, on whichever replica; the next session keeps its lock."""
    replica, other = replicas
    started = await replica.start()
    boots(replica)
    await replica.gateway.presuming.idle()
    following_one = await replica.start("second", meter_start=9)
    await asyncio.gather(*(each.end(started.transaction_id) for each in (replica, other, replica)))
    await other.end(started.transaction_id, ended_at=NOW + 1)
    first, presumed, _, corrected = await events_of(replica.client)
    assert isinstance(first, SessionStarted)
    assert isinstance(presumed, SessionEnded)
    assert isinstance(corrected, SessionCorrected)
    assert (corrected.meter_stop, corrected.reason, corrected.session_id) == (
        900,
        "Local",
        first.session_id,
    )
    assert following_one.decision.accepted
    refused = await other.start("first", connector=2, meter_start=10)
    assert not refused.decision.accepted


async def test_what_the_charger_said_is_not_corrected_by_what_is_presumed(
    replicas: Replicas,
) -> None:
    replica, other = replicas
    started = await replica.start()
    async with following(other) as caught_up:
        await caught_up()
        session = other.running.get(started.transaction_id)
        assert session is not None
        await replica.end(started.transaction_id)
        await replica.gateway.charging.end_in_the_books(session.session_id, "user:owner")
    assert [type(e) for e in await events_of(replica.client)] == [SessionStarted, SessionEnded]


async def test_an_owner_ends_a_session_in_the_books(replicas: Replicas) -> None:
    """On a replica that the charger has never been at; who did it is written down (R22)."""
    replica, other = replicas
    async with following(other) as caught_up:
        started = await replica.start()
        await caught_up()
        session = other.running.get(started.transaction_id)
        assert session is not None
        for _ in range(2):  # over is over
            await other.gateway.charging.end_in_the_books(session.session_id, "user:owner")
    message = (await messages_of(replica.client))[-1]
    about = attributes(message.headers)
    assert about.actor == "user:owner"
    _, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert (ended.presumed, ended.meter_stop, ended.ended_at) == (True, 100, NOW)
    await replica.end(started.transaction_id)
    *_, corrected = await events_of(replica.client)
    assert isinstance(corrected, SessionCorrected)
    assert (await replica.start("second")).decision.accepted


async def test_without_nats_it_is_presumed_later(
    replicas: Replicas, nats_server: NatsServer
) -> None:
    replica, _ = replicas
    started = await replica.start()
    nats_server.stop()
    boots(replica)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2 * PATIENCE):
            await replica.gateway.presuming.idle()
    nats_server.start()
    async with asyncio.timeout(30):
        await replica.gateway.presuming.idle()
    assert replica.running.get(started.transaction_id) is None


async def test_a_gateway_that_ends_presumes_nothing_any_more(replicas: Replicas) -> None:
    replica = Replica(replicas[0].client, grace=LONG)
    started = await replica.start()
    boots(replica)
    await replica.gateway.presuming.close()
    assert replica.running.get(started.transaction_id) is not None


@pytest.mark.parametrize(
    ("meter_stop", "recorded"), [(900, [SessionEnded]), (100, [])], ids=["energy", "none"]
)
async def test_the_energy_of_a_refused_start_is_recorded(
    replicas: Replicas, meter_stop: int, recorded: list[type]
) -> None:
    """O25: a charger that only pauses, or stops late, has given some."""
    replica, other = replicas
    refused = await replica.start(token="04FFFFFFFF")
    assert not refused.decision.accepted
    for each in (other, replica):
        await stop(each, refused, meter_stop)
    _, *rest = await events_of(replica.client)
    assert [type(each) for each in rest] == recorded
    for ended in rest:
        assert isinstance(ended, SessionEnded)
        assert (ended.transaction_id, ended.meter_stop, ended.user_id) == (
            refused.transaction_id,
            900,
            None,
        )


async def stop(replica: Replica, started: Started, meter_stop: int) -> None:
    await replica.gateway.charging.end(
        replica.charger(),
        transaction_id=started.transaction_id,
        token=None,
        ended_at=NOW,
        meter_stop=meter_stop,
        reason="Local",
    )


async def test_no_session_ends_before_it_began(replicas: Replicas) -> None:
    """Whatever the charger's clock says."""
    replica, _ = replicas
    started = await replica.start()
    await replica.end(started.transaction_id, ended_at=NOW - 5 * MINUTE)
    _, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.ended_at == NOW - MINUTE


@pytest.mark.parametrize(
    ("connected_at", "started_at", "offline"),
    [
        (NOW - 10 * MINUTE, NOW - MINUTE, False),
        (NOW - 10 * MINUTE, NOW - 5 * MINUTE, False),
        (NOW - 10 * MINUTE, NOW - 5 * MINUTE - 1, True),
        (NOW - MINUTE, NOW - MINUTE, False),
        (NOW - MINUTE, NOW - MINUTE - 1, True),
        (None, NOW - MINUTE, False),
        (NOW - MINUTE, NOW + MINUTE, False),
    ],
)
async def test_a_start_from_before_the_connection_or_clearly_earlier_was_offline(
    replicas: Replicas, connected_at: int | None, started_at: int, offline: bool
) -> None:
    """R23: flagged."""
    replica, _ = replicas
    if connected_at is not None:
        replica.now = connected_at
        replica.gateway.connected(Connection(replica.charger()))
        replica.now = NOW
    await replica.start(token=PIN, started_at=started_at)
    await replica.gateway.reconciler.close()
    (event,) = await events_of(replica.client)
    assert isinstance(event, SessionStarted)
    assert event.offline is offline


async def test_what_is_presumed_twice_is_corrected_by_nothing(replicas: Replicas) -> None:
    """An owner may be a moment behind the boot that ended it."""
    replica, other = replicas
    started = await replica.start()
    await other.running.follow(await messages_of(replica.client))
    boots(replica)
    await replica.gateway.presuming.idle()
    session = other.running.get(started.transaction_id)
    assert session is not None
    await other.gateway.charging.end_in_the_books(session.session_id, "user:owner")
    assert [type(e) for e in await events_of(replica.client)] == [SessionStarted, SessionEnded]
