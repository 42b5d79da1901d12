"""Reports: what chargers tell, told once, and by whom."""

from __future__ import annotations

from typing import Any

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from chargekey_common.published.chargers import (
    ConnectorStatusChanged,
    SecurityEventReported,
)
from chargekey_common.published.envelope import Attributes, PublishedEvent
from chargekey_gateway import announcer
from chargekey_gateway.application.reports import LIST_CONFLICT, Reports
from chargekey_gateway.charger_states import ChargerStates
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger, Installation

NOW = 1_800_000_000_000_000_000


class Told:
    """Reports of one charger, and what is put into the queue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.charger = Charger("garage", Installation("home"), registered=True)
        states = ChargerStates(RunningSessions(), lambda _: [self.charger])
        self.reports = Reports(Client(), states, clock=lambda: NOW)
        self.events: list[tuple[PublishedEvent, Attributes]] = []
        announce = announcer.Announcer.announce

        def listening(queue: Any, event: PublishedEvent, about: Attributes) -> bool:
            there_is_room = announce(queue, event, about)
            if there_is_room:
                self.events.append((event, about))
            return there_is_room

        monkeypatch.setattr(announcer.Announcer, "announce", listening)

    def tells(self, status: str, connector: int = 1, error_code: str = "NoError") -> None:
        self.reports.connector_status(
            self.charger, connector=connector, status=status, error_code=error_code
        )

    def statuses(self) -> list[tuple[int, str, str]]:
        return [
            (event.connector, event.status, event.error_code)
            for event, _ in self.events
            if isinstance(event, ConnectorStatusChanged)
        ]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_a_status_that_is_known_is_not_told_again_but_heard(told: Told) -> None:
    heard: list[tuple[int, str]] = []
    conflicts: list[Charger] = []
    told.reports.on_status(lambda _, connector, status: heard.append((connector, status)))
    told.reports.on_list_conflict(conflicts.append)
    for _ in range(3):
        told.tells("Available")
        told.tells("Charging", 2)
    told.tells("Available", error_code=LIST_CONFLICT)
    told.tells("Available", error_code=LIST_CONFLICT)
    told.tells("Available")
    assert told.statuses() == [
        (1, "Available", "NoError"),
        (2, "Charging", "NoError"),
        (1, "Available", LIST_CONFLICT),
        (1, "Available", "NoError"),
    ]
    assert heard == [(1, "Available"), (2, "Charging")] * 3 + [(1, "Available")] * 3
    assert conflicts == [told.charger] * 2


async def test_over_another_connection_all_is_told_anew(told: Told) -> None:
    """Meanwhile another replica may have been told something else."""
    told.reports.connected(told.charger, "1.6")
    told.tells("Available")
    told.reports.disconnected(told.charger)
    told.reports.connected(told.charger, "1.6")
    told.tells("Available")
    assert told.statuses() == [(1, "Available", "NoError")] * 2


def test_a_status_that_was_dropped_is_told_when_it_is_said_again(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.tells("Available")
    monkeypatch.setattr(announcer, "SHARE", 1)
    told.tells("Charging")
    monkeypatch.setattr(announcer, "SHARE", 100)
    told.tells("Charging")
    told.tells("Charging")
    assert told.statuses() == [(1, "Available", "NoError"), (1, "Charging", "NoError")]


def test_what_the_gateway_sees_is_told_however_much_the_charger_tells(told: Told) -> None:
    """O48."""
    with capture_logs() as logs:
        for _ in range(2 * announcer.SHARE):
            told.reports.security_event(told.charger, "SettingSystemTime", seen_by="CHARGER")
        told.reports.security_event(told.charger, "invalid_messages", seen_by="GATEWAY")
    event, about = told.events[-1]
    assert event == SecurityEventReported(
        charger_id="garage", installation_id="home", kind="invalid_messages", seen_by="GATEWAY"
    )
    assert about.actor == "service:chargepoint-gateway"
    assert told.events[0][1].actor == "charger:garage"
    assert len(told.events) == announcer.SHARE + 1
    lines = [line for line in logs if line["event"] == "security_event"]
    assert len(lines) == announcer.SHARE + 1
