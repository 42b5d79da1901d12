"""The running sessions fed with what no version of this service has sent."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from chargekey_common.follower import Message
from chargekey_gateway.sessions.running import RunningSessions

SUBJECT = "sessions.v1.installation.site.SessionStarted"
COUNTED = 'running_sessions_events_skipped_total{why="unreadable"} '


def counted() -> int:
    """Return what `/metrics` says."""
    [line] = [each for each in generate_latest().decode().splitlines() if COUNTED in each]
    return int(float(line.removeprefix(COUNTED)))


def test_an_unreadable_event_is_counted_and_passed() -> None:
    running = RunningSessions()
    before = counted()
    running.handle(Message(SUBJECT, 7, b'{"session_id": 7}', {}))
    assert counted() - before == 1
    assert running.followed == 7


@pytest.mark.parametrize(
    ("subject", "data"), [("sessions.v1.register.7", b"much"), ("sessions.v1.register.x", b"7")]
)
def test_an_unreadable_register_is_counted_and_passed(subject: str, data: bytes) -> None:
    running = RunningSessions()
    before = counted()
    running.handle(Message(subject, 7, data, {}))
    assert counted() - before == 1
    assert running.followed == 7
