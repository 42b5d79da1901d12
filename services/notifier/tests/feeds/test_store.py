"""Feeds in tables: numbers without a gap, ids that are told once, bytes that stay."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from sqlalchemy import select

from chargekey_common.process import cancel
from chargekey_common.published.feed import (
    AuthorisationRequiredSet,
    ChargerDisconnected,
    SessionEnded,
    moment,
)
from chargekey_common.testing.waiting import until
from chargekey_notifier.feeds import retention
from chargekey_notifier.feeds.retention import Retention
from chargekey_notifier.feeds.store import EVENTS, Ends, Feeds, Telling

AT = 1_800_000_000_123_456_789
VOLT, WATT = "volt", "watt"


def required(partner_id: str, event_id: str, *, required: bool = True) -> Telling:
    event = AuthorisationRequiredSet(installation_id="home", authorisation_required=required)
    return Telling(partner_id, event_id, AT, event)


def test_each_partner_has_numbers_of_its_own_without_a_gap(feeds: Feeds) -> None:
    assert feeds.ends(VOLT) is None
    heard: list[frozenset[str]] = []
    feeds.on_told(heard.append)
    for first in (1, 3):
        with feeds.telling() as (_, told):
            told += [required(VOLT, f"v{first}"), required(WATT, f"w{first}")]
            told.append(required(VOLT, f"v{first + 1}"))
    assert [(each.number, each.id) for each in feeds.read(VOLT)] == [
        (1, "v1"),
        (2, "v2"),
        (3, "v3"),
        (4, "v4"),
    ]
    assert [each.number for each in feeds.read(WATT)] == [1, 2]
    assert [each.number for each in feeds.read(VOLT, after=1, limit=2)] == [2, 3]
    assert feeds.ends(VOLT) == Ends(first=1, last=4)
    assert feeds.partners() == [VOLT, WATT]
    assert feeds.numbers() == {VOLT: 4, WATT: 2}
    assert heard == [frozenset({VOLT, WATT})] * 2


def test_what_was_told_is_not_told_again(feeds: Feeds) -> None:
    """A stream that is read again from its beginning; also twice in one transaction."""
    heard: list[frozenset[str]] = []
    for ids in ("ab", "abb"):
        with feeds.telling() as (_, told):
            told += [required(VOLT, each) for each in ids]
        feeds.on_told(heard.append)
    with feeds.telling() as (_, told):
        told += [required(VOLT, "c"), required(VOLT, "c")]
    assert [each.id for each in feeds.read(VOLT)] == ["a", "b", "c"]
    assert heard == [frozenset({VOLT})] * 2


def test_nothing_is_told_of_a_transaction_that_fails(feeds: Feeds) -> None:
    def fail() -> None:
        with feeds.telling() as (_, told):
            told.append(required(VOLT, "a"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert feeds.partners() == []


def test_an_event_is_one_cloudevents_document(feeds: Feeds) -> None:
    ended = SessionEnded(
        installation_id="home",
        charger_id="left",
        session_id="s",
        connector=1,
        ended_at=moment(AT),
        meter_stop=1200,
        reason="Local",
    )
    with feeds.telling() as (_, told):
        told.append(Telling(VOLT, "e", AT, ended))
    [entry] = feeds.read(VOLT)
    assert entry.event == "SessionEnded"
    assert json.loads(entry.document) == {
        "specversion": "1.0",
        "id": "e",
        "source": "/chargekey/feeds/volt",
        "type": "chargekey.feed.v1.SessionEnded",
        "time": "2027-01-15T08:00:00.123456Z",
        "sequence": "00000000000000000001",
        "datacontenttype": "application/json",
        "data": {
            "installation_id": "home",
            "charger_id": "left",
            "session_id": "s",
            "connector": 1,
            "ended_at": "2027-01-15T08:00:00.123456Z",
            "meter_stop": 1200,
            "reason": "Local",
        },
    }


def test_what_is_old_is_kept_no_longer_and_not_told_again(feeds: Feeds) -> None:
    """F9: but for what SESSIONS and CHARGERS told, which nobody ever tells again."""
    online = ChargerDisconnected(installation_id="home", charger_id="left")
    with feeds.telling() as (_, told):
        told += [required(VOLT, "a"), Telling(VOLT, "b", AT, online), required(WATT, "c")]
    middle = time.time_ns()
    with feeds.telling() as (_, told):
        told.append(required(VOLT, "d"))
    assert feeds.forget(0, 10) == 0
    assert [feeds.forget(middle, 2) for _ in range(3)] == [2, 1, 0]
    assert [(each.id, each.number) for each in feeds.read(VOLT)] == [("d", 3)]
    assert feeds.read(WATT) == []
    assert feeds.ends(VOLT) == Ends(first=3, last=3)
    assert feeds.ends(WATT) == Ends(first=2, last=1)
    known = select(EVENTS.c.id).where(EVENTS.c.partner_id == VOLT).order_by(EVENTS.c.id)
    with feeds.database.reading() as connection:
        assert connection.execute(known).scalars().all() == ["a", "d"]
    with feeds.telling() as (_, told):
        told += [required(VOLT, "a"), required(VOLT, "e")]
    assert [(each.id, each.number) for each in feeds.read(VOLT)] == [("d", 3), ("e", 4)]


async def test_retention_forgets_all_that_is_old(
    feeds: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F9."""
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    with feeds.telling() as (_, told):
        told += [required(VOLT, each) for each in "abcde"]
    in_a_month = time.time_ns() + 31 * retention.A_DAY
    for days, left in ((35, 5), (30, 0)):
        task = asyncio.create_task(
            Retention(feeds, days=days, clock=lambda: in_a_month, every=0.01).run()
        )
        await until(lambda left=left: len(feeds.read(VOLT)) == left)  # type: ignore[misc]
        await cancel(task)
