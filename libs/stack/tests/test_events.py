"""`chargekey events` on a running system: what was published, and nothing that is private."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chargekey_common import jetstream
from chargekey_common.published import access, chargers, identity, sessions
from chargekey_stack.commands.events import STREAMS
from chargekey_stack.events import EVENTS

from .running_system import CHARGEKEY, RunningSystem, here

NAMES = {
    event.__name__ for module in (access, chargers, identity, sessions) for event in module.EVENTS
}
PIN = "#4711"


@pytest.fixture(scope="module")
def story(system: RunningSystem) -> dict[str, Any]:
    """Somebody has charged, and has got another PIN since."""
    run = system.chargekey
    site = run("installation", "create", "--name", "Events", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    charger = run("charger", "add", *at_site, "--ocpp-identity", "CP-events")
    ada = run("user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Lovelace")
    pin = run("identification", "add", "--user", ada["id"], "--type", "pin", "--code", PIN)
    positions = ["--at-least", pin["position"], "--at-least", ada["access_position"]]
    run("authorize", "--charger", "CP-events", "--code", PIN, *positions)
    command = [
        *CHARGEKEY,
        *("simulate", "--ocpp-identity", "CP-events", "--password", charger["password"]),
        *("--code", PIN, "--json", "--data", str(system.data)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulated:
        deadline = time.monotonic() + 30
        while not run("sessions", "list", "--charger", "CP-events", "--running")["sessions"]:
            assert time.monotonic() < deadline
        simulated.send_signal(signal.SIGINT)
        assert simulated.wait(30) == 0
    changed = run("identification", "change", pin["id"], "--code", "#4712")
    while changed["position"] not in {event.get("position") for event in published(system)}:
        assert time.monotonic() < deadline
    return {"charger": charger, "pin": pin, "user": ada}


def published(system: RunningSystem, *options: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = system.chargekey("events", *options)["events"]
    return events


def shown(system: RunningSystem, *options: str) -> str:
    status, out, _ = here("events", *options, data=system.data)
    assert status == 0
    return out


def test_every_stream_is_told_in_the_order_of_time(
    system: RunningSystem, story: dict[str, Any]
) -> None:
    events = published(system)
    times = [event["time"] for event in events]
    assert times == sorted(times)
    happened = {event["type"].rpartition(".")[2] for event in events}
    assert happened >= {
        "InstallationCreated",
        "IdentificationCodeChanged",
        "SessionStarted",
        "SessionEnded",
        "ChargerConnected",
        "WaitingForAuthorisationChanged",
    }
    [added] = [e for e in events if e.get("position") == story["charger"]["position"]]
    assert added["data"]["charger_id"] == story["charger"]["id"]
    assert added["subject"] == f"access.v1.charger.{story['charger']['id']}.ChargerAdded"
    assert {"specversion", "id", "source", "type", "sequence", "actor", "cause"} <= set(added)
    assert added["sequence"] == f"{int(added['position'].rpartition(':')[2]):020d}"


def test_the_sequence_of_a_start_is_its_transaction(
    system: RunningSystem, story: dict[str, Any]
) -> None:
    assert story
    [session] = system.chargekey("sessions", "list", "--charger", "CP-events")["sessions"]
    events = published(system, "--stream", "sessions")
    assert session["transaction_id"] in {event["streamsequence"] for event in events}


async def subjects(system: RunningSystem) -> set[str]:
    """Every subject on which a stream holds something."""
    token = (system.data / "secrets" / "nats_token").read_text()
    client = await jetstream.connect(jetstream.Bus(system.ready["nats"], lambda: token), "test")
    found: set[str] = set()
    for stream in STREAMS:
        info = await client.jetstream().stream_info(stream, subjects_filter=">")
        found |= set(info.state.subjects or {})
    await client.close()
    return found


def test_nothing_private_is_shown(system: RunningSystem, story: dict[str, Any]) -> None:
    """R17: keyed ids, credentials, locks and marks are in the streams, and stay there."""
    assert story
    found = asyncio.run(subjects(system))
    private = {subject for subject in found if subject.rpartition(".")[2] not in NAMES}
    kinds = {subject.split(".")[2] for subject in private}
    # Whether a transaction of OCPP 2.x was among what ran here depends on the tests before.
    assert kinds - {"charge", "correction"} == {"credential", "key", "lock", "start", "stop"}
    events = published(system)
    assert {event["subject"].rpartition(".")[2] for event in events} <= NAMES
    text = json.dumps(events) + shown(system)
    assert PIN not in text
    assert not any(subject in text for subject in private)
    assert "keyed_id" not in text
    assert "password_hash" not in text


def test_streams_are_chosen_by_name_in_either_case(
    system: RunningSystem, story: dict[str, Any]
) -> None:
    assert story
    sources = {event["source"] for event in published(system, "--stream", "Access,IDENTITY")}
    assert sources == {"/chargekey/access", "/chargekey/identity"}
    assert system.chargekey("events", "--stream", "weather") == "choice_unknown"
    assert system.chargekey("events", "--stream", "") == "choice_unknown"
    assert tuple(EVENTS) == STREAMS


def test_only_the_newest_when_asked(system: RunningSystem, story: dict[str, Any]) -> None:
    assert story
    access_events = published(system, "--stream", "access")
    assert published(system, "--stream", "access", "--limit", "2") == access_events[-2:]
    assert published(system, "--stream", "access", "--limit", "0") == []


def test_people_get_a_line_an_event(system: RunningSystem, story: dict[str, Any]) -> None:
    lines = shown(system, "--stream", "access").splitlines()
    assert len(lines) == len(published(system, "--stream", "access"))
    [line] = [each for each in lines if story["charger"]["id"] in each]
    assert line.split()[1:4] == ["ChargerAdded", "charger", story["charger"]["id"]]
    assert "ocpp_identity=CP-events" in line
    assert "started_at=20" in shown(system, "--stream", "sessions")
    assert shown(system, "--limit", "0") == "No events.\n"


@pytest.fixture
def following(system: RunningSystem) -> Iterator[subprocess.Popen[str]]:
    command = [*CHARGEKEY, "events", "--follow", "--limit", "1", "--json", "--data", system.data]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_following_goes_on_with_what_comes_until_ctrl_c(
    system: RunningSystem, story: dict[str, Any], following: subprocess.Popen[str]
) -> None:
    assert story
    assert following.stdout
    assert json.loads(following.stdout.readline()) == published(system)[-1]
    for name in ("first", "second"):
        created = system.chargekey(
            "installation", "create", "--name", name, "--time-zone", "Europe/Oslo"
        )
        event = json.loads(following.stdout.readline())
        assert event["position"] == created["position"]
        assert event["data"]["name"] == name
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("options", [[], ["--follow"]])
def test_it_ends_without_a_word_when_nobody_reads_on(
    system: RunningSystem, story: dict[str, Any], options: list[str]
) -> None:
    assert story
    script = '"$@" | head -n 1; echo "${PIPESTATUS[0]}"'
    said = subprocess.run(
        ["bash", "-c", script, "bash", *CHARGEKEY, "events", *options, "--data", system.data],  # noqa: S607 - the person's own
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, status = said.stdout.splitlines()
    assert first
    assert status in {"0", "1"}
    assert said.stderr == ""


def test_without_a_system_there_are_no_events(tmp_path: Path) -> None:
    said = subprocess.run(
        [*CHARGEKEY, "events", "--json", "--data", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert said.returncode == 1
    assert json.loads(said.stderr)["error"]["code"] == "not_running"
