"""Times of chargers: read leniently, bounded, and never a crash."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_gateway.ocpp.timestamps import TimestampUnreadableError, parse, write

MOMENT = 1_763_632_800 * 10**9  # 2025-11-20T10:00:00Z


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-11-20T10:00:00Z", MOMENT),
        ("2025-11-20t10:00:00z", MOMENT),
        ("2025-11-20 10:00:00", MOMENT),
        ("2025-11-20T10:00", MOMENT),
        ("2025-11-20T11:00:00+01:00", MOMENT),
        ("2025-11-20T04:30:00-0530", MOMENT),
        ("2025-11-20T10:00:00.5Z", MOMENT + 500_000_000),
        ("2025-11-20T10:00:00,123456789Z", MOMENT + 123_456_789),
        ("2025-11-20T10:00:00.1234567899Z", MOMENT + 123_456_789),
        ("2025-11-20T09:59:60Z", MOMENT),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_what_chargers_write_is_read(text: str, at: int) -> None:
    assert parse(text) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-11-20",
        "20251120T100000Z",
        "2025-W47-4T10:00:00Z",
        "2025-02-30T10:00:00Z",
        "2025-11-20T25:00:00Z",
        "2025-11-20T10:00:61Z",
        "2025-11-20T10:00:00+99:00",
        "2025-11-20T10:00:00+01:60",
        "1969-12-31T23:59:59Z",
        "2262-04-12T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "٢٠٢٥-11-20T10:00:00Z",
        "2025-11-20T10:00:00Z\n",
        "2025-11-20T10:00:00." + "1" * 1000 + "Z",
    ],
)
def test_what_is_no_time_has_a_name(text: str) -> None:
    with pytest.raises(TimestampUnreadableError) as caught:
        parse(text)
    assert text not in str(caught.value) or not text


@given(st.text() | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+-]{0,20}Z?"))
def test_no_text_crashes(text: str) -> None:
    with contextlib.suppress(TimestampUnreadableError):
        assert 0 <= parse(text) < 2**63


@given(
    st.datetimes(
        min_value=dt.datetime(1970, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
        max_value=dt.datetime(2262, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
        timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-9, minutes=-30))]),
    )
)
def test_reading_agrees_with_the_standard_library(moment: dt.datetime) -> None:
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert parse(moment.isoformat()) == since // dt.timedelta(microseconds=1) * 1000


@given(st.integers(0, 2**63 - 1))
def test_what_is_written_reads_back_and_is_never_later(at: int) -> None:
    assert write(at).endswith("Z")
    assert 0 <= at - parse(write(at)) < 1_000_000


def test_a_time_beyond_the_calendar_is_written_as_its_last() -> None:
    assert write(2**80) == "9999-12-31T23:59:59.999Z"
