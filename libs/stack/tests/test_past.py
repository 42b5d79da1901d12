"""`sessions list` and `refusals list`, and what fills them: chargers that somebody simulates."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

from .running_system import CHARGEKEY, RunningSystem

PIN = "#3579"


def listed(system: RunningSystem, *arguments: str) -> list[dict[str, Any]]:
    """Return the list once there is something on it: history follows."""
    deadline = time.monotonic() + 30
    while True:
        found: list[dict[str, Any]] = system.chargekey(*arguments)[arguments[0]]
        if found:
            return found
        assert time.monotonic() < deadline


def shown(system: RunningSystem, *arguments: str) -> str:
    result = subprocess.run(
        [*CHARGEKEY, *arguments, "--data", system.data],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return result.stdout


def test_chargers_and_people_are_listed_by_their_names(system: RunningSystem) -> None:
    run = system.chargekey
    site = run("installation", "create", "--name", "Past", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    charger = run("charger", "add", *at_site, "--ocpp-identity", "CP-past")
    ada = run("user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Lovelace")
    pin = run("identification", "add", "--user", ada["id"], "--type", "pin", "--code", PIN)
    ask = ("authorize", "--charger", "CP-past", "--code", PIN, "--at-least")
    run(*ask, pin["position"], "--at-least", ada["access_position"])
    simulate = (
        *("simulate", "--ocpp-identity", "CP-past", "--password", charger["password"]),
        *("--code", PIN),
    )
    with subprocess.Popen(
        [*CHARGEKEY, *simulate, "--json", "--data", system.data],
        stdout=subprocess.PIPE,
    ) as simulated:
        try:
            [session] = listed(system, "sessions", "list", "--charger", "CP-past")
            assert run(*simulate) == "charger_connected"
        finally:
            simulated.send_signal(signal.SIGINT)
        assert simulated.wait(30) == 0
    run(*ask, run("user", "block", ada["id"])["position"])
    assert run(*simulate)["status"] == "Blocked"
    [refusal] = listed(system, "refusals", "list", "--charger", "CP-past")
    for each in (session, refusal):
        assert each["charger"] == "CP-past"
        assert each["user_id"] == ada["id"]
        assert "user" not in each
    for past in ("sessions", "refusals"):
        table = shown(system, past, "list", *at_site)
        assert "CP-past" in table
        assert "Ada Lovelace" in table
