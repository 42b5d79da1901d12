"""Sessions that are over although nobody said so: a lock never outlives its session (R21)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from chargekey_common.nats_server import NatsServer
from chargekey_common.published.envelope import attributes
from chargekey_common.published.sessions import SessionCorrected, SessionEnded, SessionStarted
from chargekey_gateway.application.charging import Started
from chargekey_gateway.commands import Command, Outcome, Result, Send, Trigger
from chargekey_gateway.sessions.transactions import Phase
from chargekey_gateway.view.entries import Charger

from .replicas import (
    CARD,
    GRACE,
    IMPATIENCE,
    MINUTE,
    NOW,
    OTHERS_CARD,
    PIN,
    Replica,
    Replicas,
    events_of,
    following,
    messages_of,
)


class Connection:
    """A charger that does nothing it is told, but what it says of how it is."""

    version = "1.6"

    def __init__(
        self, charger: Charger, answers: Callable[[Command], Result] | None = None
    ) -> None:
        self.charger = charger
        self.asked: list[Command] = []
        self.answers = answers

    async def carry_out(self, command: Command) -> Result:
        if not isinstance(command, Trigger | Send) or self.answers is None:
            return Result(outcome=Outcome.DISCONNECTED)
        self.asked.append(command)
        return self.answers(command)


LONG = 3600.0  # a grace that no test waits for


async def still_presumed(replica: Replica) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await replica.gateway.presuming.idle()


def boots(replica: Replica) -> None:
    replica.gateway.reports.booted(
        replica.charger(), vendor="Acme", model="One", firmware_version=None
    )


def says(replica: Replica, status: str, connector: int = 1, plug: int = 0) -> None:
    replica.gateway.reports.connector_status(
        replica.charger(), connector=connector, plug=plug, status=status, error_code="NoError"
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


@pytest.mark.parametrize("status", ["Preparing", "Finishing", "Occupied", "Faulted"])
async def test_what_is_told_unasked_and_says_nothing_proves_nothing(
    replicas: Replicas, status: str
) -> None:
    replica, _ = replicas
    started = await replica.start()
    says(replica, status)
    await replica.gateway.presuming.idle()
    assert replica.running.get(started.transaction_id) is not None


async def test_an_evse_that_is_in_use_by_another_plug_is_not_free(replicas: Replicas) -> None:
    """OCPP 2.x: the charger tells of its plugs one after the other."""
    replica = Replica(replicas[0].client, grace=LONG)
    await replica.take()
    says(replica, "Available", plug=1)
    await still_presumed(replica)
    says(replica, "Occupied", plug=2)
    await replica.gateway.presuming.idle()
    says(replica, "Available", plug=1)
    await replica.gateway.presuming.idle()
    assert replica.running.of_transaction("first", "tx") is not None
    says(replica, "Available", plug=2)
    await still_presumed(replica)
    await replica.gateway.presuming.close()


# A charger that comes is asked.


@contextlib.asynccontextmanager
async def taking_over(replicas: Replicas, *, grace: float = GRACE) -> AsyncIterator[Replica]:
    """Another gateway, which knows what runs and nothing of what was proven."""
    other = Replica(replicas[1].client, grace=grace, greeting=0)
    async with following(other) as caught_up:
        await caught_up()
    yield other
    await other.gateway.presuming.close()
    await other.gateway.reconciler.close()


async def comes(replica: Replica, answers: Callable[[Command], Result]) -> list[Command]:
    """Return what the charger was asked for, once nobody asks any more."""
    connection = Connection(replica.charger(), answers)
    replica.gateway.connected(connection)
    await replica.gateway.presuming.asked()
    return connection.asked


def says_of_it(ongoing: bool | None) -> Callable[[Command], Result]:
    """Answer GetTransactionStatus; without the indicator there is no answer to the question."""
    payload = {"messagesInQueue": False}
    if ongoing is not None:
        payload["ongoingIndicator"] = ongoing
    told = Result(outcome=Outcome.ACCEPTED, payload=payload)
    no = Result(outcome=Outcome.REJECTED)
    return lambda command: told if isinstance(command, Send) else no


STATUS_OF_TX = Send(action="GetTransactionStatus", payload={"transactionId": "tx"})
STATUS = Trigger(message="StatusNotification", connector=1)


async def test_what_was_proven_to_a_gateway_that_is_gone_is_told_to_the_next(
    replicas: Replicas,
) -> None:
    """R21: a boot, and then another gateway, that knows of no boot; OCPP 2.x."""
    first = Replica(replicas[0].client, grace=LONG)
    await first.take()
    boots(first)
    await first.gateway.presuming.close()
    async with taking_over(replicas) as other:
        assert await comes(other, says_of_it(ongoing=False)) == [STATUS_OF_TX]
        says(other, "Occupied", plug=1)  # the vehicle is still there
        await other.gateway.presuming.idle()
        assert other.running.of_charger("first") == []
        assert (await other.take(charger_id="second", transaction="next")).accepted  # type: ignore[union-attr]
    _, ended, _ = await events_of(first.client)
    assert isinstance(ended, SessionEnded)
    assert (ended.presumed, ended.meter_stop) == (True, 100)


async def test_a_transaction_that_goes_on_is_left_to_go_on(replicas: Replicas) -> None:
    """Also where a boot had said otherwise."""
    await replicas[0].take()
    async with taking_over(replicas, grace=LONG) as other:
        boots(other)
        await comes(other, says_of_it(ongoing=True))
        await other.gateway.presuming.idle()
        assert len(other.running.of_charger("first")) == 1


@pytest.mark.parametrize("status", ["Preparing", "Finishing", "Available"])
async def test_a_connector_whose_status_was_asked_for_tells_that_nothing_runs(
    replicas: Replicas, status: str
) -> None:
    """R21: OCPP 1.6."""
    await replicas[0].start()
    async with taking_over(replicas) as other:
        assert await comes(other, says_yes) == [STATUS]
        says(other, status)
        await other.gateway.presuming.idle()
        assert other.running.of_charger("first") == []


@pytest.mark.parametrize("status", ["Charging", "SuspendedEV", "SuspendedEVSE", "Faulted"])
async def test_a_connector_whose_status_was_asked_for_tells_that_it_goes_on(
    replicas: Replicas, status: str
) -> None:
    """Asked once, it is believed once: what comes later is told unasked."""
    await replicas[0].start()
    async with taking_over(replicas) as other:
        await comes(other, says_yes)
        says(other, status)
        says(other, "Finishing")
        await other.gateway.presuming.idle()
        assert len(other.running.of_charger("first")) == 1


def says_yes(_: Command) -> Result:
    return Result(outcome=Outcome.ACCEPTED)


async def test_asked_for_its_status_a_connector_that_may_charge_refutes_the_answer(
    replicas: Replicas,
) -> None:
    await replicas[0].start()
    async with taking_over(replicas, grace=LONG) as other:
        await comes(other, says_yes)
        says(other, "Preparing")
        await still_presumed(other)
        says(other, "Charging")
        await other.gateway.presuming.idle()
        assert len(other.running.of_charger("first")) == 1


@pytest.mark.parametrize(
    "answers",
    [says_of_it(ongoing=None), lambda _: Result(outcome=Outcome.REFUSED, status="NotImplemented")],
    ids=["without the indicator", "without the action"],
)
async def test_a_charger_that_cannot_tell_is_asked_for_its_status_and_left_as_it_is(
    replicas: Replicas, answers: Callable[[Command], Result]
) -> None:
    await replicas[0].take()
    async with taking_over(replicas) as other:
        assert await comes(other, answers) == [STATUS_OF_TX, STATUS]
        says(other, "Finishing")  # it has said no: this is of its own
        await other.gateway.presuming.idle()
        assert len(other.running.of_charger("first")) == 1


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.DISCONNECTED])
async def test_a_charger_that_does_not_answer_is_asked_for_nothing_more(
    replicas: Replicas, outcome: Outcome
) -> None:
    """Each silence more brings it nearer to the end of its connection."""
    await replicas[0].take()
    await replicas[0].start(connector=2, token=CARD)
    await replicas[0].start(connector=3, token=OTHERS_CARD)
    async with taking_over(replicas) as other:
        assert await comes(other, lambda _: Result(outcome=outcome)) == [STATUS_OF_TX]
        second = [Result(outcome=outcome), Result(outcome=Outcome.REFUSED)]
        await comes(other, lambda _: second.pop())
        assert second == []  # the transaction's, and the status of the first connector
        await other.gateway.presuming.idle()
        assert len(other.running.of_charger("first")) == 3


async def test_where_nothing_runs_nothing_is_asked(replicas: Replicas) -> None:
    started = await replicas[0].start()
    await replicas[0].start("second", token=CARD)
    await replicas[0].start(connector=0, token=OTHERS_CARD)
    await replicas[0].end(started.transaction_id)
    async with taking_over(replicas) as other:
        assert await comes(other, says_yes) == []  # no connector's status is the charger's


async def test_a_gateway_that_ends_asks_nobody_any_more(replicas: Replicas) -> None:
    replica = Replica(replicas[0].client, greeting=LONG)
    await replica.start()
    connection = Connection(replica.charger(), says_yes)
    replica.gateway.presuming.connected(connection)
    async with asyncio.timeout(30):
        await replica.gateway.presuming.close()
        await replica.gateway.presuming.asked()
    assert connection.asked == []


async def test_who_comes_again_is_asked_again_and_by_nobody_else(replicas: Replicas) -> None:
    """The first connection is gone before it could be asked."""
    await replicas[0].start()
    async with taking_over(replicas) as other:
        first = Connection(other.charger(), says_yes)
        other.gateway.connected(first)
        assert await comes(other, says_yes) == [STATUS]
        assert first.asked == []


async def test_his_own_session_that_he_ends_in_the_books_is_corrected_by_what_it_delivered(
    replicas: Replicas,
) -> None:
    """R22: the charger goes on, and what it delivers is his; it begins no second session."""
    replica, other = replicas
    await replica.take()
    session = replica.running.of_transaction("first", "tx")
    assert session is not None
    await replica.gateway.charging.end_in_the_books(session.session_id, "user:ada")
    assert (await other.start("second")).decision.accepted  # with the same PIN
    await replica.take(Phase.UPDATED, number=1, token=None, at=NOW, meter=400)
    await replica.take(Phase.UPDATED, number=2, at=NOW, meter=500)
    await other.take(Phase.ENDED, number=3, token=None, at=NOW, meter=5_000)
    _, ended, _, corrected = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert isinstance(corrected, SessionCorrected)
    assert (corrected.session_id, corrected.meter_stop) == (ended.session_id, 5_000)
    assert len(other.running.of_charger("second")) == 1


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
    started = await replicas[0].start()
    replica = Replica(replicas[1].client, patience=IMPATIENCE)
    async with following(replica) as caught_up:
        await caught_up()
        nats_server.stop()
        boots(replica)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * IMPATIENCE):
                await replica.gateway.presuming.idle()
        nats_server.start()
        async with asyncio.timeout(30):
            await replica.gateway.presuming.idle()
        await caught_up()
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
