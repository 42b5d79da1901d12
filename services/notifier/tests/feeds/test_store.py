"""Feeds in tables: numbers without a gap, ids that are told once, bytes that stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chargekey_common.postgres import Postgres
from chargekey_common.published.feed import AuthorisationRequiredSet, SessionEnded, moment
from chargekey_notifier.feeds.store import Ends, Feeds, Telling

AT = 1_800_000_000_123_456_789
VOLT, WATT = "volt", "watt"


def required(partner_id: str, event_id: str, *, required: bool = True) -> Telling:
    event = AuthorisationRequiredSet(installation_id="home", authorisation_required=required)
    return Telling(partner_id, event_id, AT, event)


@pytest.fixture(params=["sqlite", "postgres"])
def feeds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Feeds]:
    where: Path | Postgres = tmp_path / "feeds.db"
    if request.param == "postgres":
        where = request.getfixturevalue("postgres")
        Feeds.migrate(where)
    feeds = Feeds(where)
    yield feeds
    feeds.close()


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
    assert feeds.number_of(VOLT, "v3") == 3
    assert feeds.number_of(WATT, "v3") is None
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
