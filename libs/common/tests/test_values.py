"""Positions, keyed ids, days, names, and the envelope of an event: plain values."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common import local_days, names
from chargekey_common.keyed_ids import CodeClass, KeyedIds, classify, is_malformed
from chargekey_common.positions import MalformedPositionError, Position
from chargekey_common.published import access, chargers, identity, sessions
from chargekey_common.published.envelope import (
    Attributes,
    Catalogue,
    PublishedEvent,
    attributes,
    headers,
)
from chargekey_common.search import containing

GENERATION = "0123456789abcdef"
HERE = Position("access", GENERATION, 7)
CATALOGUE = Catalogue(*identity.EVENTS)
ALL_EVENTS = (*access.EVENTS, *identity.EVENTS, *sessions.EVENTS, *chargers.EVENTS)


def test_a_position_is_read_back_as_it_was_written() -> None:
    assert Position.parse(str(HERE)) == HERE


@pytest.mark.parametrize(
    "text", ["", "access:7", f"access:{GENERATION}:-1", f"access:{GENERATION}:7 ", "a" * 500]
)
def test_a_position_nobody_made_is_refused(text: str) -> None:
    with pytest.raises(MalformedPositionError):
        Position.parse(text)


def test_a_position_includes_what_came_before_it_in_the_same_life_of_the_same_store() -> None:
    assert HERE.includes(HERE)
    assert HERE.includes(Position("access", GENERATION, 6))
    assert not HERE.includes(Position("access", GENERATION, 8))
    assert not HERE.includes(Position("identity", GENERATION, 6))
    assert not HERE.includes(Position("access", "f" * 16, 6))


KEYED = KeyedIds(b"a secret of sixteen bytes and more")


def test_a_pin_has_another_keyed_id_at_every_installation_and_a_card_the_same_everywhere() -> None:
    """R13, R15."""
    assert KEYED.of_token("#2468", "a") != KEYED.of_token("#2468", "b")
    assert KEYED.of_token("04A1B2C3", "a") == KEYED.of_token("04A1B2C3", "b")


@pytest.mark.parametrize("written", ["04a1b2c3", "04:A1:B2:C3", "04-a1-b2-c3", "04 A1 B2 C3"])
def test_a_card_is_the_same_however_its_number_is_written(written: str) -> None:
    """R15; OCPP 1.6: idTags are case-insensitive."""
    assert classify(written) == (CodeClass.UID, "04A1B2C3")


def test_no_keyed_id_can_be_made_without_the_secret() -> None:
    other = KeyedIds(b"another secret of sixteen bytes")
    assert other.of_token("#2468", "a") != KEYED.of_token("#2468", "a")
    with pytest.raises(ValueError, match="16 bytes"):
        KeyedIds(b"short")


@given(st.text(max_size=30), st.text(max_size=30))
def test_only_equal_tokens_share_a_keyed_id(one: str, other: str) -> None:
    if classify(one) != classify(other):
        assert KEYED.of_token(one, "a") != KEYED.of_token(other, "a")


def test_a_day_ends_at_the_local_midnight_after_it() -> None:
    """R18, also where that day has 23 hours."""
    end = local_days.end_of("2026-03-29", "Europe/Oslo", now=0)
    assert end == int(dt.datetime(2026, 3, 29, 22, tzinfo=dt.UTC).timestamp()) * 10**9
    assert local_days.end_of("", "Europe/Oslo", now=0) is None


@pytest.mark.parametrize(
    "day",
    ["2026-02-30", "29.03.2026", "tomorrow", "2026-3", "2026-3-9", "20260309", "2026-W11-1", " "],
)
def test_what_is_no_day_is_refused(day: str) -> None:
    with pytest.raises(local_days.DateMalformedError):
        local_days.end_of(day, "Europe/Oslo", now=0)


def test_a_day_that_is_over_is_refused() -> None:
    end = local_days.end_of("2026-03-29", "Europe/Oslo", now=0)
    assert end is not None
    with pytest.raises(local_days.DateInPastError):
        local_days.end_of("2026-03-29", "Europe/Oslo", now=end)
    assert local_days.end_of("2026-03-29", "Europe/Oslo", now=end - 1) == end


@pytest.mark.parametrize("day", ["2262-12-31", "9999-12-31"])
def test_a_day_that_no_64_bits_can_tell_is_refused(day: str) -> None:
    with pytest.raises(local_days.DateTooLateError):
        local_days.end_of(day, "Europe/Oslo", now=0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "europe/oslo",
        "Europe",
        "Europe/Oslo ",
        "posix/Europe/Oslo",
        "right/Europe/Oslo",
        "posixrules",
        "localtime",
        "Factory",
        "zone.tab",
        "../etc/passwd",
        "/etc/localtime",
        "Europe/../Europe/Oslo",
        "a\0b",
        "\ud800",
        "x" * 10_000,
    ],
)
def test_what_is_no_zone_of_the_iana_list_is_refused(name: str) -> None:
    with pytest.raises(local_days.TimeZoneUnknownError):
        local_days.time_zone(name)


@given(
    st.dates(dt.date(1971, 1, 1), dt.date(2100, 1, 1)),
    st.sampled_from(sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})),
)
def test_the_last_nanosecond_of_a_day_still_has_its_date(day: dt.date, zone: str) -> None:
    end = local_days.end_of(day.isoformat(), zone, now=0)
    assert end is not None
    last = dt.datetime.fromtimestamp(end // 10**9 - 1, tz=zoneinfo.ZoneInfo(zone))
    assert last.date() <= day


@pytest.mark.parametrize("text", ["", "   ", "x" * 201, "a\x00b", "two\nlines", "\u202etxet"])
def test_an_impossible_name_is_refused(text: str) -> None:
    with pytest.raises(names.NameMalformedError):
        names.name(text)


@pytest.mark.parametrize(
    "text", ["\u200b", "\u3164", "\u2800", "\u115f \u1160", "\u0301", "\ufe0f"]
)
def test_a_name_that_nobody_sees_is_refused(text: str) -> None:
    with pytest.raises(names.NameMalformedError):
        names.name(text)


@pytest.mark.parametrize("text", ["https://evil.example", "Win! http://x", "a ftp://b c", "://"])
def test_a_name_with_a_web_address_is_refused_and_a_line_with_one_is_not(text: str) -> None:
    """Names stand in mails, and a link there is for following."""
    with pytest.raises(names.NameMalformedError, match="://"):
        names.name(text)
    assert names.line(f" {text} ") == text


@pytest.mark.parametrize(
    "text",
    ["Ada", "Søren Ó Briain", "李小龍", "Владимир", "محمد", "O'Neil-Smith Jr.", "5", "⚡", "é"],
)
def test_the_names_of_people_are_names(text: str) -> None:
    assert names.name(f"  {text} ") == text


@pytest.mark.parametrize(
    ("search", "text"),
    [
        ("", ""),
        (" ", "Ada"),
        (" ada ", "Ada"),
        ("LOVE", "Ada Lovelace"),
        ("a l", "Ada Lovelace"),
        ("STRASSE", "Straße"),
        ("A\u030ase", "Åse"),
        ("åse", "A\u030ase"),
        ("владимир", "ВЛАДИМИР"),
    ],
)
def test_a_search_finds_what_contains_it_however_it_is_written(search: str, text: str) -> None:
    assert containing(search)(text)


@pytest.mark.parametrize(
    ("search", "text"),
    [("ada", ""), ("ada l", "Ada"), ("a.a", "Ada"), ("%", "Ada"), ("ase", "Åse")],
)
def test_a_search_finds_nothing_else(search: str, text: str) -> None:
    assert not containing(search)(text)


@pytest.mark.parametrize("pin", ["#", "#123", "#123456789", "#12a4", "# 1234", "#1234\n", "##123"])
def test_a_pin_of_another_form_is_malformed(pin: str) -> None:
    """R13."""
    assert is_malformed(pin)
    assert is_malformed(pin.removeprefix("#"), CodeClass.PIN)
    assert not is_malformed("#1234")
    assert not is_malformed("#12345678", CodeClass.PIN)


@pytest.mark.parametrize("token", ["0102030405", "1234", "TAG-1", "04A1B2\ufb00"])
def test_what_is_no_card_number_is_malformed_only_where_it_is_said_to_be_one(token: str) -> None:
    """R15."""
    assert not is_malformed(token)
    assert is_malformed(token, CodeClass.UID)
    assert not is_malformed("04:a1:b2:c3", CodeClass.UID)


@pytest.mark.parametrize("token", ["", "\t", "A\nB", "\u202eA", "x" * 256])
def test_a_token_that_no_ocpp_version_has_is_malformed(token: str) -> None:
    assert is_malformed(token)


@pytest.mark.parametrize("event", ALL_EVENTS, ids=lambda event: event.__name__)
def test_an_event_has_one_name_from_class_to_subject_and_cloudevents_type(
    event: type[PublishedEvent],
) -> None:
    name = event.__name__
    assert event.subject_filter().endswith(f".{name}")
    assert event.subject_filter().startswith(f"{event.stream}.v1.")
    assert event.cloudevents_type() == f"chargekey.{event.stream}.v1.{name}"


def test_an_event_is_read_back_from_its_headers_and_payload() -> None:
    event = identity.UserBlocked(user_id="u", installation_id="i")
    told = Attributes(id="e", at=1_700_000_000_123_456_000, cause="c", actor="a", position=HERE)
    written = headers(event, told, source="identity")
    assert attributes(written) == told
    assert CATALOGUE.decode(event.subject, msgspec.json.encode(event)) == event


def test_an_event_of_an_unknown_type_is_told_from_a_broken_one() -> None:
    assert CATALOGUE.decode("identity.v1.user.u.UserPromoted", b"{}") is None
    with pytest.raises(msgspec.ValidationError):
        CATALOGUE.decode("identity.v1.user.u.UserBlocked", b"{}")


def test_an_event_with_a_field_added_later_is_read_without_it() -> None:
    later = b'{"user_id":"u","installation_id":"i","why":"added in a later version"}'
    decoded = CATALOGUE.decode("identity.v1.user.u.UserBlocked", later)
    assert decoded == identity.UserBlocked(user_id="u", installation_id="i")


def test_an_id_that_would_leave_its_place_in_the_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="subject"):
        _ = identity.UserBlocked(user_id="u.*.>").subject


def test_a_period_has_whole_local_days_of_23_and_25_hours_too() -> None:
    """R18, R24: from the first instant of the first day to the first behind the last."""
    hour = 3_600 * 10**9
    for day, hours in (("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)):
        begins, ends = local_days.period(day, day, "Europe/Oslo")
        assert begins is not None
        assert ends == begins + hours * hour
        assert ends == local_days.end_of(day, "Europe/Oslo", now=0)
    assert local_days.period("", "", "Europe/Oslo") == (None, None)
    assert local_days.period("0001-01-01", "0001-01-01", "Asia/Tokyo")[0] == -(2**63)
    with pytest.raises(local_days.DateTooLateError):
        local_days.period("", "9999-12-31", "Europe/Oslo")
    with pytest.raises(local_days.DateMalformedError):
        local_days.period("2026-1-1", "", "Europe/Oslo")
