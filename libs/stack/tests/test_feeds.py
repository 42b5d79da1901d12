"""A partner's feed on a running system: the same by the command line and over HTTP (F15, F19)."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import httpx2
import pytest

from .running_system import CHARGEKEY, RunningSystem


class Operator:
    """A payment operator with access to one site, and a credential."""

    def __init__(self, system: RunningSystem) -> None:
        self.run = run = system.chargekey
        named = ("--name", "Feed AS", "--kind", "payment-operator", "--contact", "a@feed.example")
        partner = run("partner", "create", *named)
        self.id: str = partner["id"]
        self.credential = run("partner", "credentials", "issue", self.id, "--label", "feeds")
        site = ("--name", "Feeds", "--time-zone", "Europe/Oslo")
        self.site: str = run("installation", "create", *site)["id"]
        run("charger", "add", "--installation", self.site, "--ocpp-identity", "CP-feeds")
        there = ("--installation", self.site, "--roles", "service")
        run("permission", "grant", *there, "--partner", partner["lookup_key"])

    def events(self, *options: str) -> list[Any]:
        found: list[Any] = self.run("feed", "events", self.id, *options)["events"]
        return found

    def told(self, name: str) -> list[Any]:
        """Return what is told once an event of this name is."""
        deadline = time.monotonic() + 30
        while True:
            found = self.events()
            if name in {each["type"].rpartition(".")[2] for each in found}:
                return found
            assert time.monotonic() < deadline, found

    def over_http(self, url: str, token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx2.get(url, headers=headers, trust_env=False, timeout=30)
        return answer.raise_for_status().json()


@pytest.fixture(scope="module")
def operator(system: RunningSystem) -> Operator:
    return Operator(system)


def test_a_partner_reads_by_http_what_the_command_line_shows(operator: Operator) -> None:
    """F15, F19."""
    events = operator.told("ChargerAdded")
    assert events[0]["type"] == "chargekey.feed.v1.AccessStarted"
    shown = operator.run("feed", "show", operator.id)
    assert shown["first_sequence"] == events[0]["sequence"]
    assert shown["last_sequence"] >= events[-1]["sequence"]
    url = shown["events_url"]
    form = {
        "grant_type": "client_credentials",
        "client_id": operator.credential["id"],
        "client_secret": operator.credential["secret"],
    }
    answer = httpx2.post(url.replace("events", "token"), data=form, trust_env=False, timeout=30)
    token = answer.json()["access_token"]
    assert operator.over_http(url, token)["events"][: len(events)] == events
    rest = operator.over_http(f"{url}?after={events[0]['sequence']}", token)
    assert rest["events"][: len(events) - 1] == events[1:]


def test_pages_go_on_behind_a_cursor(operator: Operator) -> None:
    events = operator.told("ChargerAdded")
    page = operator.run("feed", "events", operator.id, "--limit", "1")
    assert page == {"events": events[:1], "next": events[0]["sequence"]}
    assert operator.events("--after", page["next"])[: len(events) - 1] == events[1:]
    assert operator.run("feed", "events", operator.id, "--after", "7") == "cursor_malformed"


def test_a_feed_is_followed_as_it_comes(operator: Operator, system: RunningSystem) -> None:
    events = operator.told("ChargerAdded")
    command = [
        *(*CHARGEKEY, "feed", "events", operator.id, "--follow", "--json"),
        *("--after", events[-2]["sequence"], "--data", str(system.data)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline()) == events[-1]
        operator.run("installation", "set", operator.site, "--authorisation-required", "no")
        told = json.loads(follower.stdout.readline())
        assert told["type"] == "chargekey.feed.v1.AuthorisationRequiredSet"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(30) == 0
