"""`chargekey up`, whole, as a process."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from chargekey_stack.ports import HOST

from .processes import alive, children
from .running_system import RunningSystem, chargekey, up

SERVICES = {"access", "identity", "gateway", "history"}


def test_it_says_once_and_on_one_line_how_to_reach_everything(system: RunningSystem) -> None:
    assert set(system.ready) == {"ready", "ocpp", "nats", "grpc", "data"}
    assert system.ready["ready"] is True
    assert system.ready["ocpp"].startswith("ws://127.0.0.1:")
    assert system.ready["ocpp"].endswith("/ocpp")
    assert set(system.ready["grpc"]) == SERVICES
    assert system.ready["data"] == str(system.data)
    announced = system.data / "run" / "system.json"
    assert announced.read_text() + "\n" == system.ready_line
    assert announced.stat().st_mode & 0o777 == 0o600


def test_a_second_one_on_the_same_data_is_refused(system: RunningSystem) -> None:
    assert chargekey("up", data=system.data) == "data_in_use"


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert chargekey("up", "--ocpp-port", str(port), data=tmp_path) == "port_taken"


@pytest.mark.parametrize("victim", ["chargekey-access", "nats-server"])
def test_what_crashes_runs_again_and_a_line_says_so(system: RunningSystem, victim: str) -> None:
    pid = next(pid for pid, line in children(system.process.pid).items() if victim in line)
    os.kill(pid, signal.SIGKILL)
    name = victim.removeprefix("chargekey-").removesuffix("-server")
    deadline = time.monotonic() + 30
    while f"{name} ended unexpectedly (SIGKILL)" not in system.said.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # until it is noticed
    while isinstance(created := _create(system), str):
        assert created in {"unavailable", "deadline_exceeded"}
        assert time.monotonic() < deadline
    assert created["position"].startswith("access:")


def test_it_ends_cleanly_and_remembers_everything(tmp_path: Path) -> None:
    with up(tmp_path / "data", tmp_path / "said", working_directory=tmp_path) as first:
        created = _create(first)
        left = children(first.process.pid)
        assert len(left) >= 7
        assert first.end(signal.SIGTERM) == 0
        assert not any(map(alive, left))
        assert first.said.read_text() == ""
        assert first.chargekey("installation", "list") == "not_running"
    with up(tmp_path / "data", tmp_path / "said", working_directory=tmp_path) as second:
        found = second.chargekey("installation", "list")["installations"]
        assert [site["id"] for site in found] == [created["id"]]
        assert second.end(signal.SIGINT) == 0


def _create(system: RunningSystem) -> dict[str, str]:
    created: dict[str, str] = system.chargekey(
        "installation", "create", "--name", "Home", "--time-zone", "Europe/Oslo"
    )
    return created
