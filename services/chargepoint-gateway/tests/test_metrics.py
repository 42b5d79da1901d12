"""What is counted on the way of a tap, as whoever asks for the metrics reads it."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY, generate_latest
from structlog.testing import capture_logs

from chargekey_gateway.decision import Reason
from chargekey_gateway.metrics import COUNT_DECISION, DECIDED_HERE_IN, count_call
from chargekey_gateway.ocpp import clocks, timestamps


def test_each_decision_is_counted_under_its_status_and_reason() -> None:
    labels = {"decision": "Blocked", "reason": "user_blocked"}
    before = REGISTRY.get_sample_value("authorize_decisions_total", labels)
    assert before is not None, "there from the beginning, so that a rate can be told"
    COUNT_DECISION[Reason.USER_BLOCKED]()
    COUNT_DECISION[Reason.USER_BLOCKED]()
    assert REGISTRY.get_sample_value("authorize_decisions_total", labels) == before + 2


def test_each_call_is_counted_under_its_action_and_what_came_of_it() -> None:
    count_call("OfThisTest", "taken")()
    count_call("OfThisTest", "refused")()
    count_call("OfThisTest", "taken")()
    values = [
        REGISTRY.get_sample_value("ocpp_messages_total", {"action": "OfThisTest", "result": result})
        for result in ("taken", "refused", "failed")
    ]
    assert values == [2, 1, None]


def _authorized_in(bound: str, decided_by: str) -> float:
    labels = {"le": bound, "decided_by": decided_by}
    found = REGISTRY.get_sample_value("authorize_duration_seconds_bucket", labels)
    assert found is not None
    return found


def test_how_long_a_tap_takes_is_told_in_buckets_that_hold_the_smaller_ones() -> None:
    bounds = ("1e-05", "2e-05", "0.001", "10.0", "+Inf")
    before = [_authorized_in(bound, "gateway") for bound in bounds]
    DECIDED_HERE_IN(1e-05)
    DECIDED_HERE_IN(0.0005)
    DECIDED_HERE_IN(60.0)
    after = [_authorized_in(bound, "gateway") for bound in bounds]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 2, 2, 3]
    count = REGISTRY.get_sample_value("authorize_duration_seconds_count", {"decided_by": "gateway"})
    assert count == after[-1]


@pytest.mark.parametrize(
    ("told", "direction", "seconds"),
    [
        ("2026-11-18T11:06:40Z", "ahead", 400.0),
        ("2026-11-18T12:00:00+01:00", "behind", 0.0),
        ("2026-11-18T10:59:30Z", "behind", 30.0),
    ],
)
def test_how_far_a_clock_is_off_is_told_by_its_direction(
    told: str, direction: str, seconds: float
) -> None:
    now = timestamps.parse("2026-11-18T11:00:00Z")
    labels = {"direction": direction}
    before = REGISTRY.get_sample_value("charger_clock_skew_seconds_sum", labels)
    with capture_logs() as logs:
        clocks.compare("charger-1", told, now)
    assert before is not None
    assert REGISTRY.get_sample_value("charger_clock_skew_seconds_sum", labels) == before + seconds
    named = [(line["event"], line["charger"], line["seconds"]) for line in logs]
    assert named == ([("charger_clock_off", "charger-1", 400)] if seconds > 60 else [])


def test_a_time_that_cannot_be_read_tells_nothing_of_a_clock() -> None:
    before = generate_latest()
    clocks.compare("charger-1", "half past nine", 0)
    assert _skews(generate_latest()) == _skews(before)


def _skews(told: bytes) -> list[bytes]:
    return [line for line in told.splitlines() if line.startswith(b"charger_clock_skew")]
