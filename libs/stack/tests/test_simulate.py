"""`chargekey simulate` against a running system: one charger that waits, and fleets."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from chargekey_stack.client import connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.simulator import Version, simulated_charger
from chargekey_stack.simulator.fleet import Fleet
from chargekey_stack.simulator.population import Population, ocpp_identity
from chargekey_stack.simulator.provision import Site, provision
from chargekey_stack.simulator.scenarios import Action, Step

from . import test_people as people
from .running_system import CHARGEKEY, RunningSystem, at_last

CHARGERS = 10
PEOPLE = Population.of(CHARGERS)
VERSIONS: list[Version] = ["1.6", "2.0.1", "2.1"]


def fleet(system: RunningSystem, *options: str) -> Any:
    return system.chargekey("simulate", "--chargers", str(CHARGERS), "--duration", "5", *options)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_small_fleet_has_its_morning_and_everything_is_as_promised(
    system: RunningSystem, version: Version
) -> None:
    seen = fleet(system, "--seed", "4", "--ocpp", version)
    assert (seen["finished"], seen["broken"]) == (True, [])
    assert (seen["connected"], seen["charging"]) == (CHARGERS, 0)
    assert seen["sessions"] == seen["taps"]["Accepted"] > 0
    assert seen["times"]["authorize"]["count"] > 0
    assert seen["times"]["start"]["count"] >= seen["sessions"]


def test_a_second_fleet_finds_the_site_of_the_first(system: RunningSystem) -> None:
    seen = [fleet(system, "--scenario", "idle") for _ in range(2)]
    assert [(each["sessions"], each["broken"]) for each in seen] == [(0, [])] * 2
    sites = system.chargekey("installation", "list")["installations"]
    assert [each["name"] for each in sites].count("Simulated site") == 1


def test_all_come_back_after_a_storm(system: RunningSystem) -> None:
    seen = fleet(system, "--scenario", "storm")
    # How often there is time for that is the machine's to say.
    assert seen["reconnects"] >= CHARGERS
    assert (seen["connected"], seen["broken"]) == (CHARGERS, [])


def test_ctrl_c_ends_a_fleet_and_says_what_it_has_seen(system: RunningSystem) -> None:
    with subprocess.Popen(
        [
            *(*CHARGEKEY, "simulate", "--chargers", "2", "--duration", "600"),
            *("--scenario", "idle", "--json", "--data", system.data),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as simulated:
        deadline = time.monotonic() + 30
        while not _online(system, ocpp_identity(1)):
            assert time.monotonic() < deadline
        simulated.send_signal(signal.SIGINT)
        out, _ = simulated.communicate(timeout=30)
    assert simulated.returncode == 0
    seen = json.loads(out)
    assert (seen["finished"], seen["broken"]) == (False, [])


def _online(system: RunningSystem, identity: str) -> bool:
    shown = system.chargekey("charger", "show", identity)
    return isinstance(shown, dict) and bool(shown["online"])


async def provisioned(system: RunningSystem) -> Site:
    async with connected(DataDirectory(Path(system.data))) as client:
        return await provision(client, CHARGERS)


async def played(system: RunningSystem, *steps: Step) -> list[str]:
    """Return what was not kept."""
    async with connected(DataDirectory(Path(system.data))) as client:
        site = await provision(client, CHARGERS)
        playing = Fleet(client, site, steps, version="1.6")
        try:
            await playing.play(lasting=0)
        finally:
            await playing.close()
        return list(playing.snapshot().broken)


async def test_what_is_not_as_promised_is_told(system: RunningSystem) -> None:
    resident, blocked = PEOPLE.residents[3], PEOPLE.blocked[0]
    broken = await played(
        system,
        Step(0, 3, Action.CONNECT),
        Step(0, 3, Action.PRESENT, resident.card, may=False, person=resident),
        Step(0, 3, Action.REPEAT_START),
        Step(0, 3, Action.LEAVE),
        Step(0, 3, Action.PRESENT, blocked.card, may=True, person=blocked),
        *(Step(0, number, Action.CONNECT) for number in range(CHARGERS) if number != 3),
    )
    assert broken == [
        "SIM-0003 accepted somebody who may not charge there.",
        "SIM-0003 was told Blocked for blocked-0000, who may charge there (user_blocked).",
    ]


async def test_who_never_comes_back_is_told(
    system: RunningSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargekey_stack.simulator.fleet.PATIENCE", 1.0)
    broken = await played(
        system,
        *(Step(0, number, Action.CONNECT) for number in range(CHARGERS)),
        Step(0, 2, Action.LOSE_CONNECTION),
    )
    assert broken == ["SIM-0002 did not come back."]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_charger_waits_for_whoever_starts_it(system: RunningSystem, version: Version) -> None:
    """S3-55: yellow, until somebody is accepted."""
    site = asyncio.run(provisioned(system))
    number = VERSIONS.index(version)  # to each his own: the last one's state is there
    identity = ocpp_identity(number)
    command = [
        *(
            *CHARGEKEY,
            "simulate",
            "--ocpp-identity",
            identity,
            "--password",
            site.passwords[number],
        ),
        *("--ocpp", version, "--json", "--data", system.data),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulated:
        at_last(lambda: _waiting(system, site.installation_id, identity))
        simulated.send_signal(signal.SIGINT)
        out, _ = simulated.communicate(timeout=30)
    assert json.loads(out) == {"status": "waiting"}


def test_a_charger_that_waits_charges_when_somebody_starts_it_from_outside(
    system: RunningSystem,
) -> None:
    """S3-12, S3-55: and says how it ended."""
    site = people.Site(system, "Simulated from outside")
    eli = site.invite("eli@simulated-from-outside.example", "user")
    identity = "CP-simulated-from-outside"
    added = system.chargekey(
        "charger", "add", "--installation", site.id, "--ocpp-identity", identity
    )
    # Once the gateway has heard of it.
    tap = ("authorize", "--charger", identity, "--code", "04A1B2C3D4")
    system.chargekey(*tap, "--at-least", added["position"])
    command = [*CHARGEKEY, "simulate", "--ocpp-identity", identity, "--password"]
    with subprocess.Popen(
        [*command, added["password"], "--json", "--data", system.data],
        stdout=subprocess.PIPE,
        text=True,
    ) as simulated:
        try:
            at_last(lambda: _waiting(system, site.id, identity))
            started = system.chargekey("charger", "start", identity, "--as", eli)
            assert started["outcome"] == "accepted"
            session = at_last(lambda: _measured(system, identity))
            stopped = system.chargekey("charger", "stop", session["id"], "--as", eli)
            assert stopped["outcome"] == "accepted"
            out, _ = simulated.communicate(timeout=30)
        finally:
            simulated.kill()
    seen = json.loads(out)
    assert (simulated.returncode, seen["status"], seen["stopped"]) == (0, "Accepted", "Remote")


def _measured(system: RunningSystem, identity: str) -> Any:
    """Return what runs there, once the charger has measured and so knows its number."""
    running = system.chargekey("sessions", "list", "--charger", identity, "--running")
    return next((each for each in running["sessions"] if each["last_updated_at"]), None)


def _waiting(system: RunningSystem, site: str, identity: str) -> list[int]:
    listed = system.chargekey("charger", "list", "--installation", site)["chargers"]
    [found] = [each["waiting"] for each in listed if each["ocpp_identity"] == identity]
    waiting: list[int] = found
    return waiting


async def test_a_start_is_answered_the_same_however_often_it_is_sent(
    system: RunningSystem,
) -> None:
    """R23: with the connection lost between."""
    site = await provisioned(system)
    async with simulated_charger(
        system.ready["ocpp"], ocpp_identity(1), site.passwords[1]
    ) as charger:
        await charger.boot()
        first = await charger.start(PEOPLE.residents[1].card)
        assert first.status == "Accepted"
        assert await charger.repeat_start() == first
        assert await charger.stop() == "Local"
