"""Chargers that tell too much: ids and memory are everybody's, and no start is lost."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from chargekey_common.published.sessions import (
    SessionCorrected,
    SessionEnded,
)
from chargekey_gateway.sessions.allowance import AT_ONCE, THEN_EVERY, Allowance
from chargekey_gateway.sessions.errors import StartsPutOffError
from chargekey_gateway.sessions.transactions import Phase

from .replicas import CARD, NOW, OTHERS_CARD, PIN, Replicas, events_of


def test_a_charger_may_tell_so_many_new_starts_at_once_and_then_one_in_a_while() -> None:
    now = 5.0
    allowance = Allowance(clock=lambda: now)
    for _ in range(AT_ONCE):
        assert not allowance.is_used_up("first")
        allowance.use("first")
    assert allowance.is_used_up("first")
    assert not allowance.is_used_up("second")
    now += THEN_EVERY
    assert not allowance.is_used_up("first")
    allowance.use("first")
    assert allowance.is_used_up("first")
    now += 2 * AT_ONCE * THEN_EVERY  # no more is saved up than that
    for _ in range(AT_ONCE):
        allowance.use("first")
    assert allowance.is_used_up("first")


def test_that_a_charger_tells_too_many_is_said_once_until_one_is_taken_again() -> None:
    allowance = Allowance()
    with capture_logs() as logs:
        for _ in range(2):
            allowance.put_off("first")
        allowance.use("first")
        allowance.put_off("first")
    assert [each["charger"] for each in logs] == ["first", "first"]


def put_off() -> float:
    return REGISTRY.get_sample_value("session_starts_put_off_total") or 0


async def test_starts_without_end_are_put_off_and_counted_and_said_once(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again, what was recorded before costs nothing, whoever recorded it; nor do its ends."""
    monkeypatch.setattr("chargekey_gateway.sessions.allowance.AT_ONCE", 3)
    replica, other = replicas
    before = put_off()
    with capture_logs() as logs:
        first = await replica.start()
        refused = await replica.start(token="04FFFFFFFF", connector=2)
        for _ in range(3):
            assert await replica.start() == first
            assert await replica.start(token="04FFFFFFFF", connector=2) == refused
        elsewhere = await other.start(token=CARD, connector=3)
        await replica.take(token=OTHERS_CARD, connector=4)
        for _ in range(2):
            with pytest.raises(StartsPutOffError):
                await replica.start(token=CARD, connector=5)
            with pytest.raises(StartsPutOffError):
                await replica.take(transaction="another", connector=6)
            assert await replica.start(token=CARD, connector=3) == elsewhere
            assert await replica.start() == first
            assert await replica.take(token=OTHERS_CARD, connector=4) is not None
    assert put_off() == before + 4
    assert [each["event"] for each in logs].count("charger_starts_too_often") == 1
    await replica.end(first.transaction_id)
    assert (await replica.start("second")).decision.accepted  # another charger's are its own


async def test_a_transaction_that_has_begun_elsewhere_costs_nothing(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OCPP 2.x: another replica has begun it a moment ago, by another message."""
    monkeypatch.setattr("chargekey_gateway.sessions.allowance.AT_ONCE", 1)
    replica, other = replicas
    await replica.start(token=CARD, connector=2)
    with pytest.raises(StartsPutOffError):
        await replica.take()
    await other.take()
    decision = await replica.take(Phase.UPDATED, number=1)
    assert decision is not None
    assert decision.accepted


async def test_of_too_many_sessions_at_a_charger_the_oldest_is_over(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R21: with the last of its meter, and its lock; what ends it after all corrects that."""
    monkeypatch.setattr("chargekey_gateway.application.starting.MOST_AT_CHARGER", 2)
    replica, other = replicas
    oldest = await replica.start(token=PIN, connector=1)
    second = await replica.start(token=CARD, connector=2)
    replica.gateway.charging.metered(
        replica.charger(), transaction=oldest.transaction_id, connector=1, at=NOW, meter=333
    )
    for _ in range(2):  # neither of these is another session there
        assert await replica.start(token=PIN, connector=1) == oldest
        await replica.start(token="04FFFFFFFF", connector=3)
        await replica.start("second", token="04FFFFFFFF")
    assert len(replica.running.of_charger("first")) == 2
    third = await replica.take(token=OTHERS_CARD, connector=4)
    assert third is not None
    assert third.accepted
    left = replica.running.of_charger("first")
    assert [each.connector for each in left] == [2, 4]
    assert left[0].transaction_id == second.transaction_id
    assert (await other.start("second", token=PIN)).decision.accepted
    await replica.end(oldest.transaction_id)
    *_, ended, _, corrected = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert isinstance(corrected, SessionCorrected)
    assert (ended.presumed, ended.meter_stop, ended.ended_at) == (True, 333, NOW)
    assert (corrected.session_id, corrected.meter_stop) == (ended.session_id, 900)
