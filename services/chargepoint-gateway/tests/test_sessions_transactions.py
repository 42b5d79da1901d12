"""Transactions of OCPP 2.x against a real nats-server.

O21, O39, O40: every TransactionEvent is answered and its token verified again; sent again
it gets the same verdict; its messages are counted, also out of their order.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published import access, identity
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    SessionCorrected,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway.decision import Decision, Reason, Status
from chargekey_gateway.sessions.running import Metered
from chargekey_gateway.sessions.transactions import (
    MOST_APART,
    MOST_REMEMBERED,
    Heard,
    Phase,
    TransactionMessage,
)

from .replicas import (
    CARD,
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

STARTED, UPDATED, ENDED = Phase.STARTED, Phase.UPDATED, Phase.ENDED
UNKNOWN_CARD = "04FFFFFFFF"


async def recorded(replica: Replica) -> list[type]:
    return [type(event) for event in await events_of(replica.client)]


async def test_a_start_is_recorded_under_the_chargers_own_name_for_it(replicas: Replicas) -> None:
    replica, _ = replicas
    decision = await replica.take(STARTED, token=PIN, meter=100)
    assert decision is not None
    assert (decision.status, decision.user_id) == (Status.ACCEPTED, "ada")
    (event,) = await events_of(replica.client)
    assert isinstance(event, SessionStarted)
    assert (event.ocpp_transaction_id, event.started_at, event.meter_start) == (
        "tx",
        NOW - MINUTE,
        100,
    )
    assert not event.offline
    running = replica.running.of_transaction("first", "tx")
    assert running is not None
    assert running.session_id == event.session_id
    assert replica.running.of_transaction("second", "tx") is None


@pytest.mark.parametrize("following_too", [False, True])
async def test_a_start_sent_again_gets_the_same_verdict_everywhere(
    replicas: Replicas, following_too: bool
) -> None:
    """O21, R23: across reconnects, replicas and restarts, and after the session too."""
    replica, other = replicas
    first = await replica.take()
    assert first is not None
    if following_too:
        async with following(other) as caught_up:
            await caught_up()
            assert await other.take() == first
    else:
        assert await other.take() == first
    restarted = Replica(replica.client)
    assert await restarted.take() == first
    await replica.take(ENDED, number=1, token=None, at=NOW, meter=900)
    later = Replica(replica.client)
    assert await later.take() == first
    assert await recorded(replica) == [SessionStarted, SessionEnded]
    assert later.running.of_charger("first") == replica.running.of_charger("first") == []


async def test_a_refused_start_sent_again_stays_refused_and_a_new_one_is_judged_anew(
    replicas: Replicas,
) -> None:
    """O21, R23: the same message is the same start; who taps once more is asked once more."""
    replica, other = replicas
    refused = await replica.take(token=UNKNOWN_CARD)
    assert refused is not None
    assert refused.reason is Reason.IDENTIFICATION_UNKNOWN
    accepted = await replica.take(UPDATED, number=1, token=CARD)
    assert accepted is not None
    assert accepted.accepted
    assert await other.take(token=UNKNOWN_CARD) == refused
    assert await recorded(replica) == [StartRefused, SessionStarted]


async def test_of_racing_tokens_in_one_transaction_one_begins_it(replicas: Replicas) -> None:
    """Two gateways that know nothing of each other's sessions; one transaction, one session."""
    replica, other = replicas
    mine, others = await asyncio.gather(
        replica.take(UPDATED, number=1, token=CARD),
        other.take(UPDATED, number=2, token=OTHERS_CARD),
    )
    assert mine is not None
    assert others is not None
    assert mine.accepted
    assert others.accepted
    starts = [e for e in await events_of(replica.client) if isinstance(e, SessionStarted)]
    assert len(starts) == 1


async def test_of_racing_starts_of_both_versions_with_one_identification_one_wins(
    replicas: Replicas,
) -> None:
    """R21: ConcurrentTx is an answer to a start only (O18)."""
    replica, other = replicas
    for turn in range(8):
        started, decision = await asyncio.gather(
            replica.start("first", meter_start=turn),
            other.take(charger_id="second", transaction=f"tx-{turn}"),
        )
        assert decision is not None
        verdicts = {started.decision.reason, decision.reason}
        assert verdicts == {Reason.INSTALLATION_PERMISSION, Reason.ALREADY_CHARGING}
        if decision.accepted:
            await other.take(
                ENDED, number=1, charger_id="second", transaction=f"tx-{turn}", token=None, at=NOW
            )
        else:
            assert decision.status is Status.CONCURRENT_TX
            await replica.end(started.transaction_id)
    assert replica.gateway.deciding.authorize(replica.charger(), PIN).accepted  # type: ignore[union-attr]


async def test_a_transaction_begins_with_nobody_and_becomes_a_session_with_somebody(
    replicas: Replicas,
) -> None:
    """With the transaction's own beginning, and judged as of the tap: plugged in first."""
    replica, _ = replicas
    began = NOW - 30 * MINUTE
    assert await replica.take(STARTED, token=None, at=began, meter=50) is None
    assert await replica.take(UPDATED, number=1, token=None, meter=50, at=NOW - 20 * MINUTE) is None
    assert await recorded(replica) == []
    decision = await replica.take(UPDATED, number=2, token=CARD, connector=0, meter=55)
    assert decision is not None
    assert decision.accepted
    (event,) = await events_of(replica.client)
    assert isinstance(event, SessionStarted)
    assert (event.started_at, event.meter_start, event.connector) == (began, 50, 1)
    assert event.inputs.at == NOW - MINUTE
    await replica.take(ENDED, number=3, token=None, at=NOW, meter=75)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert (ended.meter_stop, ended.messages_missing, ended.presumed) == (75, 0, False)


async def test_a_transaction_nobody_was_presented_in_leaves_nothing(replicas: Replicas) -> None:
    replica, _ = replicas
    assert await replica.take(STARTED, token=None) is None
    assert await replica.take(ENDED, number=1, token=None) is None
    assert await replica.take(ENDED, number=1, token=None) is None
    assert await events_of(replica.client) == []


async def test_only_so_many_transactions_of_a_charger_are_remembered(replicas: Replicas) -> None:
    replica, _ = replicas
    for number in range(MOST_REMEMBERED + 1):
        await replica.take(
            STARTED, transaction=f"tx-{number}", token=None, at=NOW - 30 * MINUTE, meter=1
        )
    for number in (0, MOST_REMEMBERED):
        await replica.take(
            UPDATED,
            number=1,
            transaction=f"tx-{number}",
            connector=number + 1,
            token=CARD if number else OTHERS_CARD,
            meter=7,
        )
    forgotten, known = await events_of(replica.client)
    assert isinstance(forgotten, SessionStarted)
    assert isinstance(known, SessionStarted)
    assert (forgotten.meter_start, known.meter_start) == (7, 1)


async def test_a_start_without_a_reading_counts_from_the_first_that_comes(
    replicas: Replicas,
) -> None:
    """A register stands where it stands: without its beginning it is no energy."""
    replica, _ = replicas
    await replica.take(STARTED, meter=None)
    await replica.take(UPDATED, number=1, token=None, meter=123_456, at=NOW - 30)
    await replica.take(ENDED, number=2, token=None, at=NOW, meter=124_000)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.meter_stop == 124_000 - 123_456


REGISTER = 1_234_567  # of a charger that has run for years


async def catch_up(*replicas: Replica) -> None:
    for replica in replicas:
        await replica.running.follow(
            await messages_of(replica.client, after=replica.running.followed)
        )


def last_end(events: Sequence[object]) -> SessionEnded | SessionCorrected:
    *_, ended = (each for each in events if isinstance(each, SessionEnded | SessionCorrected))
    return ended


@pytest.mark.parametrize("charger_id", ["first", "open"])
@pytest.mark.parametrize("cut", [1, 2, 3])
async def test_a_start_without_a_reading_counts_the_same_wherever_it_goes_on(
    replicas: Replicas, cut: int, charger_id: str
) -> None:
    """R24: what one replica heard first is what all count from, and after a restart."""
    replica, other = replicas
    readings = [(STARTED, None), (UPDATED, 0), (UPDATED, 300), (ENDED, 800)]
    for number, (phase, risen) in enumerate(readings):
        here = replica if number < cut else other
        await catch_up(other)
        await here.take(
            phase,
            number=number,
            charger_id=charger_id,
            token=CARD if phase is STARTED else None,
            at=NOW - 30 + number,
            meter=None if risen is None else REGISTER + risen,
        )
        running = here.running.of_transaction(charger_id, "tx")
        if running is not None and risen is not None:
            assert here.running.metered(running.transaction_id) == Metered(NOW - 30 + number, risen)
    started, *_ = events = await events_of(replica.client)
    assert isinstance(started, SessionStarted)
    assert (started.meter_start, started.meter_unknown) == (0, True)
    assert last_end(events).meter_stop == 800
    await catch_up(other)
    assert other.running.first_register(last_end(events).transaction_id) is None


async def test_a_start_with_a_reading_counts_from_that(replicas: Replicas) -> None:
    replica, _ = replicas
    await replica.take(meter=REGISTER)
    await replica.take(ENDED, number=1, token=None, at=NOW, meter=REGISTER + 800)
    started, ended = await events_of(replica.client)
    assert isinstance(started, SessionStarted)
    assert not started.meter_unknown
    assert isinstance(ended, SessionEnded)
    assert (started.meter_start, ended.meter_stop) == (REGISTER, REGISTER + 800)


async def test_an_end_elsewhere_counts_from_the_first_reading_too(replicas: Replicas) -> None:
    """A gateway that has not followed the stream that far asks its leader."""
    replica, other = replicas
    await replica.take(meter=None)
    await replica.take(UPDATED, number=1, token=None, at=NOW - 30, meter=REGISTER)
    await other.take(ENDED, number=2, token=None, at=NOW, meter=REGISTER + 800)
    assert last_end(await events_of(replica.client)).meter_stop == 800


async def test_of_racing_first_readings_one_counts(replicas: Replicas) -> None:
    replica, other = replicas
    await replica.take(meter=None)
    await catch_up(replica, other)
    await asyncio.gather(
        replica.take(UPDATED, number=1, token=None, at=NOW - 30, meter=REGISTER),
        other.take(UPDATED, number=2, token=None, at=NOW - 29, meter=REGISTER + 1),
    )
    (started,) = replica.running.of_charger("first")
    firsts = [each.running.first_register(started.transaction_id) for each in replicas]
    assert firsts[0] in {REGISTER, REGISTER + 1}
    assert firsts[0] == firsts[1]


async def test_an_end_told_after_all_counts_from_the_first_reading_too(replicas: Replicas) -> None:
    """R21: what was presumed of it meanwhile has the energy that was heard of."""
    replica, other = replicas
    await replica.take(meter=None)
    await replica.take(UPDATED, number=1, token=None, at=NOW - 30, meter=REGISTER)
    await replica.take(UPDATED, number=2, token=None, at=NOW - 29, meter=REGISTER + 300)
    (session,) = replica.running.of_charger("first")
    await replica.gateway.charging.end_in_the_books(session.session_id, "user:ada")
    presumed = last_end(await events_of(replica.client))
    await other.take(ENDED, number=3, token=None, at=NOW, meter=REGISTER + 800)
    corrected = last_end(await events_of(replica.client))
    assert isinstance(corrected, SessionCorrected)
    assert (presumed.meter_stop, corrected.meter_stop) == (300, 800)


@pytest.mark.parametrize("heard", [True, False])
async def test_what_is_left_behind_without_a_reading_counts_from_the_first(
    replicas: Replicas, heard: bool
) -> None:
    """R21: the next one's register is its last; as the first that is told it is no energy."""
    replica, other = replicas
    await replica.take(transaction="lost", at=NOW - 2 * MINUTE, meter=None)
    if heard:
        await replica.take(
            UPDATED, number=1, transaction="lost", token=None, at=NOW - 90, meter=REGISTER
        )
    await catch_up(other)
    (lost,) = other.running.of_charger("first")
    known = other.running.first_register(lost.transaction_id)
    assert known == (REGISTER if heard else None)
    await other.take(transaction="next", token=OTHERS_CARD, meter=REGISTER + 500)
    assert last_end(await events_of(replica.client)).meter_stop == (500 if heard else 0)


async def test_what_is_left_behind_ends_with_its_own_reading_where_the_next_has_none(
    replicas: Replicas,
) -> None:
    """R21."""
    replica, _ = replicas
    await replica.take(transaction="lost", at=NOW - 2 * MINUTE, meter=REGISTER)
    await replica.take(
        UPDATED, number=1, transaction="lost", token=None, at=NOW - 90, meter=REGISTER + 500
    )
    await replica.take(transaction="next", token=OTHERS_CARD, meter=None)
    assert last_end(await events_of(replica.client)).meter_stop == REGISTER + 500


@pytest.mark.parametrize("meter_start", [REGISTER, None])
@pytest.mark.parametrize("token", [CARD, None])
async def test_an_offline_transaction_told_across_restarts_keeps_its_energy(
    replicas: Replicas, meter_start: int | None, token: str | None
) -> None:
    """R23, O40: each of its messages by another gateway, the first of them twice."""
    replica, _ = replicas
    charger_id = "first" if token else "open"
    messages = [
        (STARTED, 0, meter_start),
        (STARTED, 0, meter_start),
        (UPDATED, 1, REGISTER),
        (UPDATED, 2, REGISTER + 300),
        (ENDED, 3, REGISTER + 800),
    ]
    for phase, number, meter in messages:
        restarted = Replica(replica.client)
        await catch_up(restarted)
        await restarted.take(
            phase,
            number=number,
            charger_id=charger_id,
            token=token if phase is STARTED else None,
            offline=True,
            at=NOW - (10 - number) * MINUTE,
            meter=meter,
        )
    started, *_ = events = await events_of(replica.client)
    assert isinstance(started, SessionStarted)
    assert started.offline
    assert last_end(events).meter_stop - started.meter_start == 800
    assert [type(event) for event in events].count(SessionEnded) == 1


@pytest.mark.parametrize("began", ["with a reading", "without", "not heard of"])
async def test_an_end_that_brings_the_beginning_with_it_has_the_whole_energy(
    replicas: Replicas, began: str
) -> None:
    """J02: the samples of a transaction may come with its end, and with that alone."""
    replica, other = replicas
    if began != "not heard of":
        await replica.take(meter=None if began == "without" else REGISTER)
    token = CARD if began == "not heard of" else None
    await other.take(
        ENDED, number=1, token=token, at=NOW, meter=REGISTER + 800, meter_began=REGISTER
    )
    started, ended = await events_of(replica.client)
    assert isinstance(started, SessionStarted)
    assert isinstance(ended, SessionEnded)
    assert ended.meter_stop - started.meter_start == 800


def test_a_beginning_that_comes_late_says_where_the_meter_stood_only_if_it_does() -> None:
    """O40."""
    heard = Heard()
    for phase, number, meter, began in (
        (UPDATED, 1, 70, 70),
        (STARTED, 0, None, 70),
        (STARTED, 0, 50, 50),
        (UPDATED, 2, 90, 50),
    ):
        heard.take(
            TransactionMessage(phase=phase, transaction="tx", number=number, at=NOW, meter=meter)
        )
        assert heard.meter_start == began


async def test_an_end_without_a_reading_has_the_last_one(replicas: Replicas) -> None:
    replica, _ = replicas
    await replica.take(STARTED)
    await replica.take(UPDATED, number=1, token=None, meter=700, at=NOW - 30)
    await replica.take(ENDED, number=2, token=None, at=NOW, meter=None)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.meter_stop == 700


async def test_an_end_with_no_reading_at_all_has_drawn_nothing(replicas: Replicas) -> None:
    replica, _ = replicas
    await replica.take(STARTED)
    await replica.take(ENDED, number=1, token=None, at=NOW, meter=None)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.meter_stop == 100


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
async def test_messages_may_come_in_any_order_and_twice(
    replicas: Replicas, order: tuple[int, ...]
) -> None:
    """O40: the session is the same, whichever of its messages comes first."""
    replica, _ = replicas
    await replica.take(STARTED)
    for number in order:
        phase = ENDED if number == 3 else UPDATED
        for _ in range(2):
            await replica.take(phase, number=number, token=None, meter=100 * number, at=NOW)
    first, ended = await events_of(replica.client)
    assert isinstance(first, SessionStarted)
    assert isinstance(ended, SessionEnded)
    assert ended.messages_missing == 3 - sorted(order, key=order.index).index(3) - 1


async def test_messages_that_never_came_are_counted(replicas: Replicas) -> None:
    """O40."""
    replica, _ = replicas
    await replica.take(STARTED)
    await replica.take(UPDATED, number=2, token=None)
    await replica.take(UPDATED, number=2, token=None)
    await replica.take(ENDED, number=6, token=None, at=NOW)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.messages_missing == 4  # 1, 3, 4 and 5


def heard(*numbers: int) -> Heard:
    heard = Heard()
    for number in numbers:
        heard.take(TransactionMessage(phase=UPDATED, transaction="tx", number=number, at=NOW))
    return heard


def test_missing_messages_are_counted_in_whatever_order_the_others_come() -> None:
    """O40."""
    for numbers in itertools.permutations((0, 1, 2, 4, 4)):
        assert [heard(*numbers).missing(last) for last in (0, 2, 3, 4, 6)] == [0, 0, 1, 1, 3]


@pytest.mark.parametrize("last", [7, 9])
def test_what_came_before_the_first_that_is_heard_here_is_not_missing(last: int) -> None:
    """O40."""
    for numbers in itertools.permutations((5, 6, 6, 7)):
        assert heard(*numbers).missing(last) == last - 7
    assert heard(6).missing(5) == heard(6).missing(2) == Heard().missing(7) == 0


def test_a_charger_that_makes_up_numbers_costs_so_many() -> None:
    made_up = heard(0, *range(2, 2 * MOST_APART))
    assert made_up.missing(2 * MOST_APART - 1) == MOST_APART - 1
    made_up = heard(*range(2 * MOST_APART))
    assert made_up.missing(2 * MOST_APART - 1) == 0


async def test_what_another_replica_took_is_not_missing(replicas: Replicas) -> None:
    """O40: a charger that comes over to another gateway has lost nothing."""
    replica, other = replicas
    async with following(other) as caught_up:
        await replica.take(STARTED)
        await replica.take(UPDATED, number=1, token=None)
        await caught_up()
        await other.take(UPDATED, number=2, token=None)
        await other.take(ENDED, number=4, token=None, at=NOW)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.messages_missing == 1


async def test_what_was_heard_before_a_restart_is_not_missing(replicas: Replicas) -> None:
    """O40: also where nobody was presented yet, of which nothing is stored."""
    replica, other = replicas
    await replica.take(STARTED, token=None)
    await replica.take(UPDATED, number=1, token=None)
    await other.take(UPDATED, number=2)
    await other.take(ENDED, number=3, token=None, at=NOW)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.messages_missing == 0


async def test_a_whole_offline_transaction_in_its_last_message_is_recorded(
    replicas: Replicas,
) -> None:
    """O40, R23: judged as of its start and flagged, start and end."""
    replica, _ = replicas
    decision = await replica.take(ENDED, number=2, offline=True, at=NOW - 10 * MINUTE, meter=900)
    assert decision is not None
    assert decision.accepted
    started, ended = await events_of(replica.client)
    assert isinstance(started, SessionStarted)
    assert isinstance(ended, SessionEnded)
    assert started.offline
    assert ended.session_id == started.session_id
    assert replica.running.of_charger("first") == []
    assert await replica.take(ENDED, number=2, offline=True, at=NOW - 10 * MINUTE) == decision
    assert len(await events_of(replica.client)) == 2


async def test_an_offline_start_is_judged_as_of_its_start(replicas: Replicas) -> None:
    """R23."""
    replica, _ = replicas
    replica.view.apply(
        identity.IdentificationExpiryChanged(
            identification_id="pin", user_id="ada", valid_until=NOW - 30 * MINUTE
        )
    )
    late = await replica.take(offline=True, at=NOW - 29 * MINUTE, transaction="late")
    early = await replica.take(offline=True, at=NOW - 31 * MINUTE, transaction="early")
    assert late is not None
    assert early is not None
    assert (late.reason, early.accepted) == (Reason.IDENTIFICATION_EXPIRED, True)


async def test_messages_of_ended_transactions_change_nothing(replicas: Replicas) -> None:
    replica, other = replicas
    first = await replica.take()
    await replica.take(ENDED, number=2, token=None, at=NOW, meter=900)
    events = await events_of(replica.client)
    for each in (replica, other):
        assert await each.take(UPDATED, number=1, token=None) is None
        assert await each.take(UPDATED, number=1) == first
        assert await each.take(ENDED, number=2, token=None, at=NOW, meter=900) is None
        assert await each.take(ENDED, number=2, token=CARD, stops=True, at=NOW) is not None
    assert await events_of(replica.client) == events


async def test_an_open_charger_takes_nobody_in_particular(replicas: Replicas) -> None:
    """O37: C02; late messages of what has ended begin nothing."""
    replica, other = replicas
    decision = await replica.take(charger_id="open", token=None)
    assert decision is not None
    assert (decision.reason, decision.user_id) == (Reason.OPEN_CHARGER, None)
    # Whoever taps while it charges is answered; the session stays nobody's.
    tapped = await replica.take(UPDATED, number=1, charger_id="open", token=CARD)
    assert tapped is not None
    assert tapped.accepted
    await replica.take(ENDED, number=2, charger_id="open", token=None, at=NOW)
    await other.take(UPDATED, number=1, charger_id="open", token=None)
    assert await recorded(replica) == [SessionStarted, SessionEnded]


async def test_a_driver_is_named_at_an_open_charger_by_what_he_presents(
    replicas: Replicas,
) -> None:
    replica, _ = replicas
    decision = await replica.take(charger_id="open", token=CARD)
    assert decision is not None
    assert (decision.reason, decision.user_id) == (Reason.OPEN_CHARGER, "ada")
    (event,) = await events_of(replica.client)
    assert isinstance(event, SessionStarted)
    assert event.user_id == "ada"


async def test_who_is_refused_at_an_open_charger_does_not_charge_as_nobody(
    replicas: Replicas,
) -> None:
    """A block of the whole platform holds there too; the transaction goes on without a name."""
    replica, _ = replicas
    block(replica, everywhere=True)
    refused = await replica.take(charger_id="open", token=CARD)
    assert refused is not None
    assert refused.reason is Reason.USER_BLOCKED
    await replica.take(UPDATED, number=1, charger_id="open", token=None)
    await replica.take(ENDED, number=2, charger_id="open", token=None, at=NOW, meter=100)
    assert await recorded(replica) == [StartRefused]


async def test_energy_that_flowed_after_a_refusal_is_recorded(replicas: Replicas) -> None:
    replica, _ = replicas
    await replica.take(token=UNKNOWN_CARD, meter=100)
    await replica.take(ENDED, number=1, token=None, at=NOW, meter=160)
    refused, ended = await events_of(replica.client)
    assert isinstance(refused, StartRefused)
    assert isinstance(ended, SessionEnded)
    assert (ended.session_id, ended.meter_stop) == (refused.session_id, 160)


@pytest.mark.parametrize("meter_start", [100, 0, None])
@pytest.mark.parametrize("told_by_the_end", [True, False])
@pytest.mark.parametrize("token", [UNKNOWN_CARD, None, "stops"])
async def test_energy_that_flowed_where_nobody_may_charge_is_recorded_once(
    replicas: Replicas, meter_start: int | None, told_by_the_end: bool, token: str | None
) -> None:
    """O25: who is refused, who presents nothing, and whoever may stop what nobody began."""
    replica, _ = replicas
    first = REGISTER if meter_start is None else meter_start
    stopper = OTHERS_CARD if token == "stops" else None
    await replica.take(token=None if stopper else token, meter=meter_start)
    await replica.take(UPDATED, number=1, token=None, meter=first)
    await replica.take(UPDATED, number=2, token=None, meter=first + 800)
    meter_stop = first + 800 if told_by_the_end else None
    for _ in range(2):
        await replica.take(
            ENDED, number=3, token=stopper, stops=stopper is not None, at=NOW, meter=meter_stop
        )
    refused, ended = await events_of(replica.client)
    assert isinstance(refused, StartRefused)
    assert isinstance(ended, SessionEnded)
    assert (refused.started_at, refused.user_id) == (NOW - MINUTE, None)
    assert (ended.session_id, ended.ended_at) == (refused.session_id, NOW)
    assert ended.meter_stop - refused.meter_start == 800
    assert ended.messages_missing == 0


def block(replica: Replica, *, everywhere: bool = False) -> None:
    replica.view.apply(
        identity.UserBlocked(user_id="ada", installation_id=None if everywhere else "site")
    )


def revoke(replica: Replica) -> None:
    replica.view.apply(
        access.PermissionRevoked(installation_id="site", permission_id="ada", user_id="ada")
    )


def policies(replica: Replica, on_block: str = "STOP", on_revoke: str = "FINISH") -> None:
    installation = replica.charger().installation
    installation.on_block = on_block  # type: ignore[assignment]
    installation.on_revoke = on_revoke  # type: ignore[assignment]


@pytest.mark.parametrize("phase", [STARTED, UPDATED])
@pytest.mark.parametrize(
    ("on_block", "on_revoke", "blocked", "answer"),
    [
        ("STOP", "FINISH", True, Reason.USER_BLOCKED),
        ("FINISH", "FINISH", True, Reason.INSTALLATION_PERMISSION),
        ("STOP", "STOP", False, Reason.NO_PERMISSION),
        ("STOP", "FINISH", False, Reason.INSTALLATION_PERMISSION),
    ],
)
async def test_the_token_is_verified_again_in_a_running_session(
    replicas: Replicas, phase: Phase, on_block: str, on_revoke: str, blocked: bool, answer: Reason
) -> None:
    """O39, E05: the recorded verdict stands, unless the site ends sessions for it (R12)."""
    replica, _ = replicas
    first = await replica.take()
    assert await replica.take(UPDATED, number=1) == first
    policies(replica, on_block, on_revoke)
    if blocked:
        block(replica)
    else:
        revoke(replica)
    again = await replica.take(phase, number=2)
    assert again is not None
    assert again.reason is answer
    assert await recorded(replica) == [SessionStarted]


async def test_what_is_accepted_outlives_its_expiry(replicas: Replicas) -> None:
    """O38: unless the site ends sessions for it (R12)."""
    replica, _ = replicas
    first = await replica.take()
    replica.view.apply(
        identity.IdentificationExpiryChanged(
            identification_id="pin", user_id="ada", valid_until=NOW - 1
        )
    )
    assert await replica.take(UPDATED, number=1) == first
    policies(replica, on_revoke="STOP")
    again = await replica.take(UPDATED, number=2)
    assert again is not None
    assert again.reason is Reason.IDENTIFICATION_EXPIRED


async def test_a_removed_card_may_no_longer_charge_where_revocation_stops(
    replicas: Replicas,
) -> None:
    """O39."""
    replica, _ = replicas
    await replica.take()
    policies(replica, on_revoke="STOP")
    replica.view.apply(identity.IdentificationRemoved(identification_id="pin", user_id="ada"))
    again = await replica.take(UPDATED, number=1)
    assert again is not None
    assert again.reason is Reason.IDENTIFICATION_UNKNOWN


async def test_a_charger_that_became_restricted_keeps_its_session(replicas: Replicas) -> None:
    """R1: toggling affects new sessions only."""
    replica, _ = replicas
    first = await replica.take(charger_id="open", token=OTHERS_CARD)
    replica.view.apply(
        access.PermissionRevoked(installation_id="site", permission_id="bob", user_id="bob")
    )
    replica.charger("open").authorisation_override = "REQUIRED"
    policies(replica, on_revoke="STOP")
    assert await replica.take(UPDATED, number=1, charger_id="open", token=OTHERS_CARD) == first


@pytest.mark.parametrize("phase", [UPDATED, ENDED])
@pytest.mark.parametrize(
    ("token", "status"),
    [(PIN, Status.ACCEPTED), (CARD, Status.ACCEPTED), (OTHERS_CARD, Status.INVALID)],
)
async def test_who_stops_is_matched(
    replicas: Replicas, phase: Phase, token: str, status: Status
) -> None:
    """R22, O26: the same identification or user; the end is taken whoever it was (O24)."""
    replica, _ = replicas
    await replica.take()
    stopped = await replica.take(phase, number=1, token=token, stops=True, at=NOW)
    assert stopped is not None
    assert stopped.status is status
    if phase is ENDED:
        assert await recorded(replica) == [SessionStarted, SessionEnded]
    assert AuthorizationRefused not in await recorded(replica)


async def test_whom_an_end_names_is_matched_whatever_it_was_for(replicas: Replicas) -> None:
    """R22, E07: only who ended it is named by an end."""
    replica, _ = replicas
    await replica.take()
    stopped = await replica.take(ENDED, number=1, token=OTHERS_CARD, at=NOW)
    assert stopped is not None
    assert stopped.reason is Reason.NO_PERMISSION


async def test_an_end_begins_nothing_where_somebody_was_refused(replicas: Replicas) -> None:
    replica, other = replicas
    await other.start("second")
    refused = await replica.take()
    assert refused is not None
    assert refused.reason is Reason.ALREADY_CHARGING
    (running,) = other.running.of_charger("second")
    await other.end(running.transaction_id, "second")
    ended = await replica.take(ENDED, number=1, at=NOW)
    assert ended is not None
    assert ended.accepted
    assert replica.running.of_charger("first") == []
    assert (await recorded(replica)).count(SessionStarted) == 1


async def test_cards_of_one_group_stop_each_others_sessions(replicas: Replicas) -> None:
    """R22, O26: and the charger is told of the group."""
    replica, _ = replicas
    for name, user_id in (("pin", "ada"), ("others", "bob")):
        replica.view.apply(
            identity.IdentificationGroupChanged(
                identification_id=name, user_id=user_id, group_id="fleet", group_card=False
            )
        )
    started = await replica.take()
    stopped = await replica.take(UPDATED, number=1, token=OTHERS_CARD, stops=True)
    assert isinstance(started, Decision)
    assert isinstance(stopped, Decision)
    assert stopped.accepted
    assert started.group == stopped.group


async def test_a_stop_of_nothing_is_answered_by_who_it_is(replicas: Replicas) -> None:
    replica, _ = replicas
    for token, accepted in ((CARD, True), (UNKNOWN_CARD, False)):
        answer = await replica.take(ENDED, number=3, token=token, stops=True, at=NOW)
        assert answer is not None
        assert answer.accepted is accepted
    assert SessionEnded not in await recorded(replica)


async def test_another_card_in_a_running_session_is_judged_by_itself(replicas: Replicas) -> None:
    """And a PIN that is tried there is a guess as anywhere (R14)."""
    replica, _ = replicas
    began = await replica.take()
    answers = []
    for number in range(1, 8):
        replica.now += 1  # two at one moment are one
        answers.append(await replica.take(UPDATED, number=number, token="#9999"))
    assert [answer.reason for answer in answers if answer] == [
        *[Reason.IDENTIFICATION_UNKNOWN] * 5,
        *[Reason.PIN_LOCKED_OUT] * 2,
    ]
    other = await replica.take(UPDATED, number=8, token=OTHERS_CARD)
    assert began is not None
    assert other is not None
    assert other.accepted
    assert other.group != began.group
    assert await recorded(replica) == [SessionStarted]


async def test_a_wrong_pin_in_a_transaction_that_another_replica_began_counts_as_one(
    replicas: Replicas,
) -> None:
    """R14: also while the other gateway's start has not been heard of."""
    replica, other = replicas
    await replica.take(token=CARD, at=NOW)
    other.now = NOW - 10  # a success at NOW would make nothing of these
    for number in range(1, 6):
        other.now += 1
        answer = await other.take(UPDATED, number=number, token="#9999", at=other.now)
        assert answer is not None
        assert not answer.accepted
    locked = other.gateway.deciding.authorize(other.charger(), "#9999")
    assert isinstance(locked, Decision)
    assert locked.reason is Reason.PIN_LOCKED_OUT


async def test_a_type_that_is_announced_is_held_to_its_form(replicas: Replicas) -> None:
    """O36: a KeyCode is a PIN."""
    replica, _ = replicas
    message = TransactionMessage(
        phase=STARTED, transaction="tx", number=0, at=NOW, token="12 34", announced=CodeClass.PIN
    )
    assert "12 34" not in repr(message)
    decision = await replica.gateway.transacting.take(replica.charger(), message)
    assert decision is not None
    assert decision.reason is Reason.IDENTIFICATION_MALFORMED


async def test_a_new_transaction_at_an_evse_ends_what_was_left_there(replicas: Replicas) -> None:
    """R21: presumed; what the charger tells of it later corrects that."""
    replica, _ = replicas
    await replica.take(transaction="lost", at=NOW - 2 * MINUTE)
    decision = await replica.take(transaction="next", at=NOW - MINUTE, meter=400)
    assert decision is not None
    assert decision.accepted
    await replica.take(ENDED, number=1, transaction="lost", token=None, at=NOW - 90, meter=350)
    await replica.take(ENDED, number=1, transaction="lost", token=None, at=NOW - 90, meter=350)
    _, presumed, _, corrected = await events_of(replica.client)
    assert isinstance(presumed, SessionEnded)
    assert isinstance(corrected, SessionCorrected)
    assert (presumed.presumed, presumed.meter_stop) == (True, 400)
    assert (corrected.meter_stop, corrected.session_id) == (350, presumed.session_id)


async def test_nothing_is_left_behind_where_no_evse_is_told(replicas: Replicas) -> None:
    replica, _ = replicas
    await replica.take(transaction="one", connector=0, at=NOW - 2 * MINUTE)
    await replica.take(transaction="two", connector=0, token=OTHERS_CARD)
    assert await recorded(replica) == [SessionStarted, SessionStarted]
