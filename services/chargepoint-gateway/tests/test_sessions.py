"""Starts and ends of sessions against a real nats-server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import attributes
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway import streams
from chargekey_gateway.application.charging import Started
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import Decision, Reason, Status, decided
from chargekey_gateway.ocpp16.id_tag_info import id_tag_info
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import Metered, RunningSessions
from chargekey_gateway.sessions.transactions import Phase
from chargekey_gateway.view.view import View

from .replicas import (
    CARD,
    IMPATIENCE,
    MINUTE,
    NOW,
    OTHERS_CARD,
    PIN,
    SECRET,
    Replica,
    Replicas,
    events_of,
    fill,
    following,
    messages_of,
)


async def test_a_start_is_recorded_and_its_sequence_is_the_transaction_id(
    replicas: Replicas,
) -> None:
    replica, _ = replicas
    started = await replica.start()
    assert started.decision.status is Status.ACCEPTED
    *_, mark, last = await messages_of(replica.client)
    assert (last.sequence, mark.sequence) == (started.transaction_id, started.transaction_id - 1)
    assert last.subject == "sessions.v1.installation.site.SessionStarted"
    event = msgspec.json.decode(last.data, type=SessionStarted)
    assert (event.charger_id, event.connector, event.meter_start) == ("first", 1, 100)
    assert (event.user_id, event.identification_id) == ("ada", "pin")
    about = attributes(last.headers)
    assert (about.actor, about.at) == ("charger:first", NOW)
    again = decided(msgspec.json.decode(last.data, type=SessionStarted).inputs)
    assert again == msgspec.structs.replace(started.decision, group=None)


async def test_a_gateway_that_ends_waits_only_so_long_for_its_last_reports(
    replicas: Replicas,
) -> None:
    replica, _ = replicas
    replica.gateway.reports.connector_status(
        replica.charger(), connector=1, status="Available", error_code="NoError"
    )
    await replica.gateway.tell_the_rest(within=0.01)  # nothing publishes: `run` does not run


async def test_transaction_ids_are_positive_32_bit_and_growing(replicas: Replicas) -> None:
    replica, other = replicas
    ids = []
    for meter in range(4):
        started = await (replica, other)[meter % 2].start(meter_start=meter)
        ids.append(started.transaction_id)
        if started.decision.accepted:
            await replica.end(started.transaction_id)
    assert ids == sorted(set(ids))
    assert all(0 < number < 2**31 for number in ids)


async def test_declaring_the_stream_again_later_leaves_it_as_it_is(replicas: Replicas) -> None:
    replica, _ = replicas
    started = await replica.start()
    js = replica.client.jetstream()
    await stream.declare(js, now=NOW + 3600 * MINUTE, replicas=1)
    state = (await js.stream_info(stream.STREAM)).state
    assert state.last_seq == started.transaction_id


async def test_of_racing_starts_with_one_identification_one_wins(replicas: Replicas) -> None:
    """R21, on two replicas that know nothing of each other's sessions."""
    for meter in range(10):
        first, second = await asyncio.gather(
            replicas[0].start("first", meter_start=meter),
            replicas[1].start("second", meter_start=meter),
        )
        statuses = sorted((first.decision.status, second.decision.status))
        assert statuses == [Status.ACCEPTED, Status.CONCURRENT_TX]
        assert first.transaction_id != second.transaction_id
        if first.decision.accepted:
            await replicas[1].end(first.transaction_id, "first")
        else:
            await replicas[0].end(second.transaction_id, "second")


async def test_another_card_of_the_same_user_may_charge_at_the_same_time(
    replicas: Replicas,
) -> None:
    """R21 is about one identification."""
    replica, _ = replicas
    assert (await replica.start("first", token=PIN)).decision.accepted
    assert (await replica.start("second", token=CARD)).decision.accepted


@pytest.mark.parametrize("through", [0, 1])
async def test_a_retried_start_gets_the_same_id_and_verdict(
    replicas: Replicas, through: int
) -> None:
    """O21, R23: while it runs, when it has ended, here and on another replica."""
    replica, retried = replicas[0], replicas[through]
    started = await replica.start()
    assert await retried.start() == started
    await replica.end(started.transaction_id)
    assert await retried.start() == started
    kinds = [type(event) for event in await events_of(replica.client)]
    assert kinds == [SessionStarted, SessionEnded]


@pytest.mark.parametrize("through", [0, 1])
async def test_a_retried_refused_start_stays_refused(replicas: Replicas, through: int) -> None:
    """R23: also when what was in its way is gone."""
    holder = await replicas[0].start("first")
    refused = await replicas[0].start("second")
    assert refused.decision.reason is Reason.ALREADY_CHARGING
    await replicas[0].end(holder.transaction_id)
    assert await replicas[through].start("second") == refused
    kinds = [type(event) for event in await events_of(replicas[0].client)]
    assert kinds == [SessionStarted, StartRefused, SessionEnded]


async def test_a_verdict_outlives_what_it_was_made_from(replicas: Replicas) -> None:
    """O19, O21."""
    replica, _ = replicas
    started = await replica.start()
    replica.view.apply(identity.UserBlocked(user_id="ada", installation_id="site"))
    assert await replica.start() == started
    assert not (await replica.start(meter_start=101)).decision.accepted


async def test_racing_retries_of_one_start_all_get_the_same_answer(replicas: Replicas) -> None:
    """O21."""
    answers = await asyncio.gather(*(replicas[n % 2].start() for n in range(8)))
    assert len(set(map(repr, answers))) == 1
    assert answers[0].decision.accepted
    assert len(await events_of(replicas[0].client)) == 1


async def test_a_refused_start_is_recorded_under_an_id_of_its_own(replicas: Replicas) -> None:
    """O19, OCPP 1.6 §4.8: every StartTransaction is answered with an id."""
    replica, _ = replicas
    refused = await replica.start(token="#9999")
    assert refused.decision.reason is Reason.IDENTIFICATION_UNKNOWN
    (event,) = await events_of(replica.client)
    assert isinstance(event, StartRefused)
    assert event.reason == "identification_unknown"
    assert refused.transaction_id > 0
    assert not replica.running.of_charger("first")


async def test_a_freed_identification_may_start_again(replicas: Replicas) -> None:
    """R21: a lock never outlives its session, whoever remembers it."""
    replica, other = replicas
    async with following(other) as caught_up:
        first = await replica.start()
        await caught_up()
        await replica.end(first.transaction_id)
        assert (await other.start("second", meter_start=1)).decision.accepted


def in_group(replica: Replica, *, group_card: bool) -> None:
    """Put Ada's PIN and Bob's card into one group."""
    for name, user_id in (("pin", "ada"), ("others", "bob")):
        replica.view.apply(
            identity.IdentificationGroupChanged(
                identification_id=name, user_id=user_id, group_id="fleet", group_card=group_card
            )
        )


async def test_a_group_card_charges_at_several_chargers_at_once(replicas: Replicas) -> None:
    """R21: it is exempt from the lock, on every replica and after any of its sessions."""
    for each in replicas:
        in_group(each, group_card=True)
    replica, other = replicas
    first = await replica.start("first")
    second = await other.start("second")
    assert (first.decision.accepted, second.decision.accepted) == (True, True)
    await replica.end(first.transaction_id)
    await other.end(second.transaction_id, "second")
    subjects = [message.subject for message in await messages_of(replica.client)]
    assert stream.lock_subject("pin") not in subjects
    ends = [e for e in await events_of(replica.client) if isinstance(e, SessionEnded)]
    assert len(ends) == 2


async def test_a_group_alone_exempts_nobody_from_the_lock(replicas: Replicas) -> None:
    """R21."""
    for each in replicas:
        in_group(each, group_card=False)
    assert (await replicas[0].start("first")).decision.accepted
    second = await replicas[1].start("second")
    assert second.decision.reason is Reason.ALREADY_CHARGING


async def test_a_card_made_a_group_card_while_it_charges_leaves_no_lock(
    replicas: Replicas,
) -> None:
    """R21: a lock never outlives its session."""
    replica = replicas[0]
    first = await replica.start("first")
    in_group(replica, group_card=True)
    second = await replica.start("second")
    assert second.decision.accepted
    await replica.end(first.transaction_id)
    await replica.end(second.transaction_id, "second")
    in_group(replica, group_card=False)
    assert (await replica.start("first", meter_start=900)).decision.accepted


async def test_a_group_stops_the_session_of_an_unknown_transaction(replicas: Replicas) -> None:
    """R22: of several, the one that its group began."""
    replica = replicas[0]
    in_group(replica, group_card=False)
    first = await replica.start(token=PIN, connector=1)
    await replica.start(token=CARD, connector=2)
    replica.view.apply(
        access.PermissionRevoked(installation_id="site", permission_id="bob", user_id="bob")
    )
    await replica.end(-1, token=OTHERS_CARD)
    ends = [e for e in await events_of(replica.client) if isinstance(e, SessionEnded)]
    assert [e.transaction_id for e in ends] == [first.transaction_id]


async def test_a_start_with_a_card_that_is_nobodys_is_told(replicas: Replicas) -> None:
    """R16: chargers may begin without having asked."""
    replica = replicas[0]
    started = await replica.start(token="04FFEEDD")
    assert started.decision.reason is Reason.IDENTIFICATION_UNKNOWN
    await replica.start(token="#99999999", meter_start=1)
    assert [(each.code, each.at) for each in replica.unknown] == [("04FFEEDD", NOW - MINUTE)]


async def test_sessions_keep_the_installation_they_began_at(replicas: Replicas) -> None:
    """R11: a charger that moves takes none of its old sessions along."""
    replica = replicas[0]
    await replica.end((await replica.start()).transaction_id)
    replica.view.apply(
        access.ChargerMoved(
            charger_id="first", installation_id="another", from_installation_id="site"
        )
    )
    elsewhere = await replica.start(meter_start=900)
    assert elsewhere.decision.reason is Reason.IDENTIFICATION_UNKNOWN  # the PIN is the old site's
    sites = [e.installation_id for e in await events_of(replica.client)]
    assert sites == ["site", "site", "another"]


async def test_a_stop_sent_twice_ends_the_session_once(replicas: Replicas) -> None:
    """O24."""
    replica, other = replicas
    started = await replica.start()
    await other.end(started.transaction_id)
    await replica.end(started.transaction_id)
    await replica.end(started.transaction_id)
    ends = [e for e in await events_of(replica.client) if isinstance(e, SessionEnded)]
    assert [(e.transaction_id, e.meter_stop) for e in ends] == [(started.transaction_id, 900)]


async def test_racing_stops_end_the_session_once(replicas: Replicas) -> None:
    started = await replicas[0].start()
    await asyncio.gather(*(replicas[n % 2].end(started.transaction_id) for n in range(8)))
    ends = [e for e in await events_of(replicas[0].client) if isinstance(e, SessionEnded)]
    assert len(ends) == 1


async def test_a_late_stop_does_not_free_the_lock_of_the_next_session(replicas: Replicas) -> None:
    replica, other = replicas
    first = await replica.start()
    await replica.end(first.transaction_id)
    second = await replica.start(meter_start=900)
    assert second.decision.accepted
    await other.end(first.transaction_id)
    third = await other.start("second", meter_start=1)
    assert third.decision.reason is Reason.ALREADY_CHARGING


async def test_racing_stops_of_a_session_without_a_lock_end_it_once(replicas: Replicas) -> None:
    started = await replicas[0].start("open")
    number = started.transaction_id
    await asyncio.gather(*(replicas[n % 2].end(number, "open") for n in range(8)))
    ends = [e for e in await events_of(replicas[0].client) if isinstance(e, SessionEnded)]
    assert len(ends) == 1


async def test_a_lock_freed_by_hand_and_taken_again_is_not_freed_by_the_first_session(
    replicas: Replicas,
) -> None:
    """R21: a lock belongs to one session."""
    replica, other = replicas
    first = await replica.start("first")
    await replica.client.jetstream().publish(stream.lock_subject("pin"), stream.FREE)
    second = await other.start("second")
    assert second.decision.accepted
    await replica.end(first.transaction_id)
    assert not (await other.start("first", meter_start=7)).decision.accepted
    ends = [e for e in await events_of(replica.client) if isinstance(e, SessionEnded)]
    assert [e.transaction_id for e in ends] == [first.transaction_id]


async def test_a_stop_without_an_id_ends_the_chargers_open_session(replicas: Replicas) -> None:
    """O20: -1, because the answer to the start never came."""
    replica, _ = replicas
    started = await replica.start()
    await replica.end(-1)
    assert not replica.running.of_charger("first")
    ended = (await events_of(replica.client))[-1]
    assert isinstance(ended, SessionEnded)
    assert ended.transaction_id == started.transaction_id


@pytest.mark.parametrize("transaction_id", [-1, 0, 5, 2**31, 2**80])
async def test_a_stop_of_an_unknown_session_is_taken_and_changes_nothing(
    replicas: Replicas, transaction_id: int
) -> None:
    """O24, OCPP 1.6 §4.10: a stop cannot be refused."""
    await replicas[0].end(transaction_id)
    assert not await events_of(replicas[0].client)


@pytest.mark.parametrize("through", [0, 1])
async def test_a_charger_cannot_end_another_chargers_session(
    replicas: Replicas, through: int
) -> None:
    started = await replicas[0].start("first")
    await replicas[through].end(started.transaction_id, "second")
    assert [type(event) for event in await events_of(replicas[0].client)] == [SessionStarted]


async def test_a_stop_by_somebody_else_is_taken(replicas: Replicas) -> None:
    """R22 cannot be enforced in OCPP 1.6: the energy has stopped already."""
    replica, _ = replicas
    started = await replica.start()
    await replica.end(started.transaction_id, token=OTHERS_CARD)
    assert not replica.running.of_charger("first")


async def test_every_replica_knows_the_running_sessions(replicas: Replicas) -> None:
    replica, other = replicas
    async with following(other) as caught_up, following(replica) as own_caught_up:
        started = await replica.start()
        await caught_up()
        for memory in (replica.running, other.running):
            (session,) = memory.of_user("ada")
            assert memory.of_charger("first") == [session]
            assert memory.get(started.transaction_id) == session
            assert session.holds_lock
        await other.end(started.transaction_id)
        await own_caught_up()
        await caught_up()
        for memory in (replica.running, other.running):
            assert not memory.of_user("ada")
            assert not memory.of_charger("first")
            assert not memory.lock("pin").held


async def test_a_replica_that_starts_later_knows_what_runs(replicas: Replicas) -> None:
    replica, other = replicas
    ended = await replica.start("first")
    await replica.end(ended.transaction_id)
    running = await replica.start("second", meter_start=5)
    async with following(other) as caught_up:
        await caught_up()
        assert [s.transaction_id for s in other.running.of_user("ada")] == [running.transaction_id]


async def test_following_behind_ones_own_writes_brings_nothing_back(replicas: Replicas) -> None:
    replica, _ = replicas
    started = await replica.start()
    await replica.end(started.transaction_id)
    heard: list[object] = []
    replica.running.on_start(heard.append)
    await replica.running.follow(await messages_of(replica.client))
    assert not replica.running.of_charger("first")
    assert not heard
    assert not replica.running.lock("pin").held


async def test_a_start_ends_what_the_charger_left_behind_at_that_connector(
    replicas: Replicas,
) -> None:
    """R21: a lock never outlives its session, also when its stop was lost."""
    replica, _ = replicas
    lost = await replica.start(started_at=NOW - 3 * MINUTE, meter_start=100)
    beside = await replica.start(token=CARD, connector=2, started_at=NOW - 2 * MINUTE)
    again = await replica.start(started_at=NOW - MINUTE, meter_start=700)
    assert again.decision.accepted
    running = [session.transaction_id for session in replica.running.of_charger("first")]
    assert running == [beside.transaction_id, again.transaction_id]
    [ended] = [e for e in await events_of(replica.client) if isinstance(e, SessionEnded)]
    assert (ended.transaction_id, ended.ended_at, ended.meter_stop) == (
        lost.transaction_id,
        NOW - MINUTE,
        700,
    )
    # Its own stop, should it come after all, changes nothing, and neither does a retry.
    await replica.end(lost.transaction_id)
    assert await replica.start(started_at=NOW - MINUTE, meter_start=700) == again
    assert [s.transaction_id for s in replica.running.of_charger("first")] == running


async def test_an_older_start_told_late_ends_nothing(replicas: Replicas) -> None:
    """R23: a start from before, delivered after, is judged but supersedes nobody."""
    replica, _ = replicas
    now = await replica.start(started_at=NOW - MINUTE)
    await replica.start(token=CARD, started_at=NOW - 5 * MINUTE)
    assert replica.running.get(now.transaction_id) is not None


async def test_an_open_charger_takes_anybody_and_locks_nobody(replicas: Replicas) -> None:
    """O37, S3-10: whom it knows the session is, and otherwise nobody's."""
    replica, _ = replicas
    anonymous = await replica.start("open", token="WHOEVER")
    known = await replica.start("open", connector=2)
    assert anonymous.decision.reason is known.decision.reason is Reason.OPEN_CHARGER
    assert (anonymous.decision.user_id, known.decision.user_id) == (None, "ada")
    assert (await replica.start("first")).decision.accepted
    await replica.end(known.transaction_id, "open")
    await replica.end(anonymous.transaction_id, "open", token=None)
    assert not replica.running.of_charger("open")


def expire(view: View, at: int) -> None:
    view.apply(
        identity.IdentificationExpiryChanged(identification_id="pin", user_id="ada", valid_until=at)
    )


async def test_an_offline_start_is_judged_as_of_its_start(replicas: Replicas) -> None:
    """R23."""
    replica, _ = replicas
    expire(replica.view, NOW - 10 * MINUTE)
    now = await replica.start(started_at=NOW)
    then = await replica.start(started_at=NOW - 11 * MINUTE)
    assert (now.decision.reason, then.decision.status) == (
        Reason.IDENTIFICATION_EXPIRED,
        Status.ACCEPTED,
    )


async def test_a_chargers_clock_far_behind_brings_no_expired_code_back(replicas: Replicas) -> None:
    """R18: a charger that thinks it is 1970 is believed a week."""
    replica, _ = replicas
    week = 7 * 24 * 60 * MINUTE
    expire(replica.view, NOW - week - MINUTE)
    assert (await replica.start(started_at=0)).decision.reason is Reason.IDENTIFICATION_EXPIRED


async def test_a_chargers_clock_ahead_counts_as_now(replicas: Replicas) -> None:
    """R18: the server's clock decides."""
    replica, _ = replicas
    expire(replica.view, NOW + 10 * MINUTE)
    assert (await replica.start(started_at=NOW + 11 * MINUTE)).decision.accepted


async def test_a_chargers_clock_ahead_keeps_nothing_from_its_session(replicas: Replicas) -> None:
    """R21: its readings are its own, its end is not in the next century, the next ends it."""
    replica, _ = replicas
    far_ahead = 2**63 - 1
    started = await replica.start(started_at=far_ahead)
    assert await replica.start(started_at=far_ahead) == started
    replica.now += MINUTE
    replica.gateway.charging.metered(
        replica.charger(),
        transaction=started.transaction_id,
        connector=1,
        at=replica.now,
        meter=640,
    )
    assert replica.running.metered(started.transaction_id) == Metered(replica.now, 640)
    second = await replica.start(started_at=far_ahead, token=CARD, meter_start=641)
    assert replica.running.get(started.transaction_id) is None
    await replica.end(second.transaction_id, ended_at=far_ahead)
    one, ended, two, its_end = await events_of(replica.client)
    assert isinstance(one, SessionStarted)
    assert isinstance(ended, SessionEnded)
    assert isinstance(two, SessionStarted)
    assert isinstance(its_end, SessionEnded)
    assert (one.started_at, ended.ended_at) == (NOW, NOW + MINUTE)
    assert (two.started_at, its_end.ended_at) == (NOW + MINUTE, NOW + MINUTE)


async def test_a_start_of_no_time_is_a_start_of_now(replicas: Replicas) -> None:
    """O19, R23: a charger without a clock; sent again, it is known by what it said."""
    replica, other = replicas
    expire(replica.view, NOW + 1)
    never = "0001-01-01T00:00:00Z"
    started = await replica.start(started_at=never)
    assert started.decision.accepted
    for each in (replica, other):
        each.now += 10 * MINUTE
        assert await each.start(started_at=never) == started
    second = await replica.start(started_at=never, connector=2, token=CARD)
    await replica.end(started.transaction_id)
    third = await replica.start(started_at=never, token=OTHERS_CARD, meter_start=900)
    assert len({each.transaction_id for each in (started, second, third)}) == 3
    one, *_ = await events_of(replica.client)
    assert isinstance(one, SessionStarted)
    assert (one.started_at, one.inputs.at, one.offline) == (NOW, NOW, False)
    replica.now += MINUTE
    assert await replica.start(started_at=never) == started  # and ends nothing there
    assert replica.running.get(third.transaction_id) is not None


async def test_without_nats_starts_and_ends_fail_in_time_and_taps_are_answered(
    replicas: Replicas, nats_server: NatsServer
) -> None:
    """O23."""
    replica, _ = replicas
    started = await replica.start()
    knowing, other = (Replica(each.client, patience=IMPATIENCE) for each in replicas)
    await knowing.running.follow(await messages_of(replica.client))
    nats_server.stop()
    with pytest.raises(SessionsUnavailableError):
        async with asyncio.timeout(30):
            await knowing.start("second", meter_start=5)
    with pytest.raises(SessionsUnavailableError):
        async with asyncio.timeout(30):
            await other.end(started.transaction_id)
    assert knowing.gateway.deciding.authorize(knowing.charger(), CARD).accepted
    assert not knowing.gateway.deciding.authorize(knowing.charger(), "#9999").accepted

    nats_server.start()
    retried = await _until_available(lambda: knowing.start("second", meter_start=5))
    assert retried.decision.reason is Reason.ALREADY_CHARGING
    assert await replica.start() == started
    await replica.end(started.transaction_id)
    assert [type(event) for event in await events_of(replica.client)] == [
        SessionStarted,
        StartRefused,
        SessionEnded,
    ]


@contextlib.asynccontextmanager
async def keeping_streams(replica: Replica) -> AsyncIterator[None]:
    task = asyncio.create_task(
        streams.keep_streams(
            replica.client,
            replica.gateway.journal,
            replica.gateway.lockouts,
            LastKnown(replica.client, clock=time.time_ns),
            replica.gateway.confirmed,
            replica.gateway.remote_starts,
            replicas=1,
        )
    )
    try:
        yield
    finally:
        await cancel(task)


async def lose_stream(replica: Replica) -> None:
    await replica.client.jetstream().delete_stream(stream.STREAM)


@pytest.fixture
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WATCH", 0.05)


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize("restarted", [False, True], ids=["same gateway", "next gateway"])
async def test_a_lost_stream_is_told_of_what_still_runs(
    replicas: Replicas,
    restarted: bool,
) -> None:
    """Id, verdict and lock stay; the end is recorded and frees the lock (R21, R23)."""
    replica, other = replicas
    async with keeping_streams(replica), following(replica):
        ended = await replica.start(token=OTHERS_CARD, meter_start=1)
        await replica.end(ended.transaction_id, token=OTHERS_CARD)
        started = await replica.start()
        anonymous = await replica.start("open", token=CARD)
        await replica.take(charger_id="open", connector=2, token=None, meter=None)
        await replica.take(
            Phase.UPDATED, number=1, charger_id="open", token=None, at=NOW - 30, meter=1_000
        )
        (unmetered,) = (each for each in replica.running.of_charger("open") if each.meter_unknown)
        await lose_stream(replica)
        # Waits until the stream is back, and whole.
        assert (await replica.start("second")).decision.reason is Reason.ALREADY_CHARGING
    told = [event for event in await events_of(replica.client) if isinstance(event, SessionStarted)]
    assert [event.transaction_id for event in told] == [
        started.transaction_id,
        anonymous.transaction_id,
        unmetered.transaction_id,
    ]

    later = other if restarted else replica
    async with following(later) as caught_up:
        await caught_up()
        assert await later.start() == started
        assert (await later.start("second")).decision.reason is Reason.ALREADY_CHARGING
        await later.end(started.transaction_id)
        await later.end(started.transaction_id)
        await later.end(anonymous.transaction_id, "open", token=None)
        await later.take(Phase.ENDED, number=2, charger_id="open", token=None, at=NOW, meter=1_800)
        again = await later.start("second", meter_start=7)
        assert again.decision.accepted
        assert again.transaction_id > unmetered.transaction_id
        assert [each.transaction_id for each in later.running.of_user("ada")] == [
            again.transaction_id
        ]
    ends = [event for event in await events_of(replica.client) if isinstance(event, SessionEnded)]
    assert [event.transaction_id for event in ends] == [
        started.transaction_id,
        anonymous.transaction_id,
        unmetered.transaction_id,
    ]
    assert ends[-1].meter_stop == 800


@pytest.mark.usefixtures("_watched")
async def test_an_end_that_meets_the_loss_of_the_stream_leaves_no_lock_behind(
    replicas: Replicas,
) -> None:
    replica, other = replicas
    async with (
        keeping_streams(replica),
        following(replica) as one_caught_up,
        following(other) as other_caught_up,
    ):
        for meter in range(10):
            started = await replica.start(meter_start=meter)
            assert started.decision.accepted
            # What one has not heard of the other yet is lost with the stream.
            await one_caught_up()
            await other_caught_up()
            await lose_stream(replica)
            # On the one that makes it again, and on one that only finds it so.
            await (replica, other)[meter % 2].end(started.transaction_id)


async def test_without_the_stream_no_end_is_taken_for_one_of_nothing(replicas: Replicas) -> None:
    """A gateway that has just started asks the stream about sessions it does not know."""
    started = await replicas[0].start()
    other = Replica(replicas[1].client, patience=IMPATIENCE)
    await lose_stream(replicas[0])
    with pytest.raises(SessionsUnavailableError):
        await other.end(started.transaction_id)


async def test_what_a_charger_was_told_is_not_stored_is_not_stored_later(
    replicas: Replicas, nats_server: NatsServer
) -> None:
    """Once the connection is known to be gone, nothing is left behind in its buffers."""
    replica, other = replicas
    nats_server.stop()
    await _until(lambda: not replica.client.is_connected)
    with pytest.raises(SessionsUnavailableError):
        await Replica(replica.client, patience=IMPATIENCE).start()
    nats_server.start()
    await _until(lambda: replica.client.is_connected and other.client.is_connected)
    behind = await replica.client.jetstream().publish("sessions.v1.behind", b"", timeout=30)
    assert [m.sequence for m in await messages_of(other.client)] == [behind.seq]


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def _until_available(call: Callable[[], Awaitable[Started]]) -> Started:
    while True:
        try:
            return await call()
        except SessionsUnavailableError:
            continue


async def test_a_refused_tap_is_published_and_an_accepted_one_is_not(replicas: Replicas) -> None:
    replica, _ = replicas
    work = asyncio.create_task(replica.gateway.run())
    assert replica.gateway.deciding.authorize(replica.charger(), PIN).accepted
    replica.view.apply(identity.UserBlocked(user_id="ada", installation_id="site"))
    refused = replica.gateway.deciding.authorize(replica.charger(), PIN)
    assert refused.status is Status.BLOCKED
    dry = replica.gateway.deciding.dry_run(replica.charger(), PIN)
    assert dry.decision == refused
    assert dry.explanation[-1].endswith("user_blocked")

    unknown = replica.gateway.deciding.dry_run(None, PIN)
    assert unknown.decision.reason is Reason.CHARGER_UNKNOWN

    while not (events := await events_of(replica.client)):
        await asyncio.sleep(0.01)
    (event,) = events
    assert isinstance(event, AuthorizationRefused)
    assert (event.reason, event.identification_id) == ("user_blocked", "pin")
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", Reason.IDENTIFICATION_UNKNOWN),  # nothing is presented
        *(
            (token, Reason.IDENTIFICATION_MALFORMED)
            for token in ("#123", "#12345678901234567", "\n", "\u202e04A1")
        ),
    ],
)
async def test_what_can_be_nobodys_code_starts_nothing_and_is_told_as_such(
    replicas: Replicas, token: str, reason: Reason
) -> None:
    """O37."""
    replica, _ = replicas
    started = await replica.start(token=token)
    assert (started.decision.status, started.decision.reason) == (Status.INVALID, reason)
    assert replica.running.of_charger("first") == []
    (event,) = await events_of(replica.client)
    assert isinstance(event, StartRefused)
    assert decided(event.inputs) == started.decision  # "why?" has all it needs
    again = await replica.start(token=token)
    assert again == started
    at_open_charger = await replica.start("open", token=token)
    assert at_open_charger.decision.reason is Reason.OPEN_CHARGER


async def test_no_code_gets_into_the_stream(replicas: Replicas) -> None:
    """R17: a PIN is in no event, subject or header."""
    replica, _ = replicas
    started = await replica.start()
    await replica.start("second")
    await replica.end(started.transaction_id)
    digits = PIN.removeprefix("#")
    for message in await messages_of(replica.client):
        # Sequences, ids and hashes may hold the same digits by chance, readable text may not.
        assert PIN not in f"{message.subject} {message.headers}"
        assert PIN.encode() not in message.data
        assert f'"{digits}"'.encode() not in message.data


def test_the_decision_of_a_start_says_who_and_until_when() -> None:
    view = View()
    fill(view)
    expire(view, NOW + MINUTE)
    gateway = Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: NOW,
    )
    charger = gateway.charger_by_identity("first")
    assert charger is not None
    assert gateway.deciding.authorize(charger, PIN) == Decision(
        Status.ACCEPTED,
        Reason.INSTALLATION_PERMISSION,
        NOW + MINUTE,
        KeyedIds(SECRET).group_token(None, "ada", "site"),
    )


def test_a_charger_is_told_of_the_group_by_which_cards_stop_each_other() -> None:
    """R22, O26: in the answer to a tap and to a start, and not where it is refused."""
    replica = Replica(Client())
    answers = {}
    for token in (PIN, CARD, OTHERS_CARD, "04FFFFFFFF"):
        decision = replica.gateway.deciding.authorize(replica.charger(), token)
        assert isinstance(decision, Decision)
        answers[token] = id_tag_info(decision).parent_id_tag
    assert answers[PIN] == answers[CARD] == KeyedIds(SECRET).group_token(None, "ada", "site")
    assert answers[OTHERS_CARD] == KeyedIds(SECRET).group_token(None, "bob", "site")
    assert answers["04FFFFFFFF"] is None
    replica.view.apply(identity.UserBlocked(user_id="bob", installation_id="site"))
    blocked = replica.gateway.deciding.authorize(replica.charger(), OTHERS_CARD)
    assert isinstance(blocked, Decision)
    assert (blocked.accepted, blocked.group) == (False, None)
    replica.view.apply(
        identity.IdentificationGroupChanged(
            identification_id="card", user_id="ada", group_id="fleet", group_card=False
        )
    )
    grouped = replica.gateway.deciding.authorize(replica.charger(), CARD)
    assert isinstance(grouped, Decision)
    assert grouped.group == KeyedIds(SECRET).group_token("fleet", "ada", "site")


async def test_who_charges_already_is_told_of_his_group_all_the_same(replicas: Replicas) -> None:
    """O18, O26: he may have come to stop."""
    replica, _ = replicas
    started = await replica.start()
    refused = await replica.start("second")
    assert refused.decision.reason is Reason.ALREADY_CHARGING
    assert refused.decision.group == started.decision.group is not None
    # The same as at a tap: else the charger takes it for another's.
    tap = replica.gateway.deciding.authorize(replica.charger(), CARD)
    assert isinstance(tap, Decision)
    assert started.decision.group == tap.group
