"""`chargekey up`, whole, as a process."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chargekey_stack import cli
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import HOST, Ports
from chargekey_stack.programs import ADMINISTRATOR_ADDRESS, Addresses, OpenIdClient, programs

from .processes import about, alive, children
from .running_system import CHARGEKEY, RunningSystem, chargekey, refused, up

SERVICES = {"access", "identity", "gateway", "history", "notifier"}


def test_it_says_once_and_on_one_line_how_to_reach_everything(system: RunningSystem) -> None:
    places = {"ocpp", "portal", "partners", "nats", "grpc", "health", "data"}
    assert set(system.ready) == {"ready", "administrator", *places}
    assert system.ready["ready"] is True
    assert system.ready["ocpp"].startswith("ws://127.0.0.1:")
    assert system.ready["ocpp"].endswith("/ocpp")
    assert system.ready["portal"].startswith("http://127.0.0.1:")
    assert set(system.ready["grpc"]) == SERVICES
    assert system.ready["data"] == str(system.data)
    announced = system.data / "run" / "system.json"
    assert announced.read_text() + "\n" == system.ready_line
    assert announced.stat().st_mode & 0o777 == 0o600


def test_a_second_one_on_the_same_data_is_refused(system: RunningSystem) -> None:
    assert chargekey("up", data=system.data) == "data_in_use"


@pytest.mark.parametrize("anywhere", [False, True])
def test_only_who_asks_for_it_has_operators_asked_anywhere(
    tmp_path: Path, *, anywhere: bool
) -> None:
    """It lets whoever names an operator's address have the gateway post into this network."""
    data = DataDirectory(tmp_path)
    with data.locked(), contextlib.closing(Ports()) as ports:
        addresses = Addresses.reserve(ports)
        ours = programs(data, addresses, "nats://127.0.0.1:1", operators_anywhere=anywhere)
    [gateway] = [each for each in ours if each.name == "gateway"]
    assert gateway.environment["CHARGEKEY_GATEWAY_OPERATORS_ANYWHERE"] == str(anywhere)


def test_history_keeps_what_has_ended_for_as_long_as_is_said(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    with data.locked(), contextlib.closing(Ports()) as ports:
        addresses = Addresses.reserve(ports)
        for given, days in (({}, "0"), ({"keep_history": 400}, "400")):
            ours = programs(data, addresses, "nats://127.0.0.1:1", **given)
            [history] = [each for each in ours if each.name == "history"]
            assert history.environment["CHARGEKEY_HISTORY_RETENTION_DAYS"] == days


def test_the_administrator_is_mailed_and_may_sign_in_at_the_address_that_is_said(
    tmp_path: Path,
) -> None:
    data = DataDirectory(tmp_path)
    with data.locked(), contextlib.closing(Ports()) as ports:
        addresses = Addresses.reserve(ports)
        for given, address in (
            ({}, ADMINISTRATOR_ADDRESS),
            ({"administrator": "root@up.example"}, "root@up.example"),
        ):
            ours = programs(data, addresses, "nats://127.0.0.1:1", **given)
            told = {key: value for each in ours for key, value in each.environment.items()}
            assert told["CHARGEKEY_IDENTITY_ADMINISTRATORS"] == address
            assert told["CHARGEKEY_NOTIFIER_ADMINISTRATOR_ADDRESS"] == address


def test_a_provider_to_sign_in_by_is_told_to_who_asks_it_and_to_who_offers_it(
    tmp_path: Path,
) -> None:
    data = DataDirectory(tmp_path)
    registered = OpenIdClient("https://sso.example", "chargekey", tmp_path / "secret")
    with data.locked(), contextlib.closing(Ports()) as ports:
        addresses = Addresses.reserve(ports)
        for openid, offered in ((None, "False"), (registered, "True")):
            ours = programs(data, addresses, "nats://127.0.0.1:1", openid=openid)
            told = {key: value for each in ours for key, value in each.environment.items()}
            assert told["CHARGEKEY_PORTAL_OPENID"] == offered
            assert ("CHARGEKEY_IDENTITY_OPENID_ISSUER" in told) == (openid is not None)
    assert told["CHARGEKEY_IDENTITY_OPENID_CLIENT_SECRET_FILE"] == str(tmp_path / "secret")
    back = f"http://{addresses.http}/sign-in/openid/back"
    assert told["CHARGEKEY_IDENTITY_OPENID_REDIRECT_URIS"] == back


@pytest.mark.parametrize("given", [["--openid-issuer"], ["--openid-client-id"]])
def test_half_of_how_it_is_registered_is_refused(tmp_path: Path, given: list[str]) -> None:
    said = CliRunner().invoke(cli.app, ["up", "--data", str(tmp_path), *given, "https://x.example"])
    assert said.exit_code != 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "option", ["--ocpp-port", "--portal-port", "--partners-port", "--nats-port"]
)
def test_a_taken_port_is_refused(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("up", option, str(port), data=tmp_path)["code"] == "port_taken"


def test_a_disk_that_takes_no_more_is_told_in_one_line(tmp_path: Path) -> None:
    """Keys are larger than this, versions and locks are not."""
    said = subprocess.run(
        [*CHARGEKEY, "up", "--data", tmp_path / "data"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert said.returncode == 1
    assert said.stdout == ""
    assert said.stderr.endswith(" (data_unusable)\n")
    assert said.stderr.count("\n") == 1
    # What could not be written whole is not there at all: the next start makes it.
    assert not list((tmp_path / "data" / "keys").glob("*.key"))


@pytest.mark.parametrize("victim", ["chargekey-access", "nats-server"])
def test_what_crashes_runs_again_and_a_line_says_so(system: RunningSystem, victim: str) -> None:
    pid = next(pid for pid, line in children(system.process.pid).items() if victim in line)
    os.kill(pid, signal.SIGKILL)
    name = victim.removeprefix("chargekey-").removesuffix("-server")
    deadline = time.monotonic() + 30
    for said in (f"{name} ended unexpectedly (SIGKILL)", f"{name} runs again"):
        while said not in system.said.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)  # until it is noticed, and done
    while isinstance(created := _create(system), str):
        assert created in {"unavailable", "deadline_exceeded"}
        assert time.monotonic() < deadline
    assert created["position"].startswith("access:")


def test_it_ends_cleanly_says_so_to_people_and_remembers_everything(tmp_path: Path) -> None:
    keep = ("--keep-history", "400")
    with up(tmp_path / "data", tmp_path / "said", *keep, working_directory=tmp_path) as first:
        created = _create(first)
        left = children(first.process.pid)
        assert len(left) >= 7
        [history] = [pid for pid, line in left.items() if "chargekey-history" in line]
        told = (Path("/proc") / str(history) / "environ").read_bytes().split(b"\0")
        assert b"CHARGEKEY_HISTORY_RETENTION_DAYS=400" in told
        assert first.end(signal.SIGTERM) == 0
        assert not any(map(alive, left))
        assert first.said.read_text() == ""
        assert first.chargekey("installation", "list") == "not_running"
    view = tmp_path / "data" / "gateway" / "view"
    assert view.stat().st_mode & 0o777 == 0o600
    # What partners were told of NATS holds again; this time a person runs it.
    nats = first.ready["nats"]
    there = ("--nats-port", nats.rpartition(":")[2])
    with subprocess.Popen(
        [*CHARGEKEY, "up", *there, "--data", first.data],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as second:
        try:
            assert second.stdout
            assert second.stdout.readline().startswith("Ready.")
            assert json.loads((first.data / "run" / "system.json").read_text())["nats"] == nats
            found = first.chargekey("installation", "list")["installations"]
            assert [site["id"] for site in found] == [created["id"]]
            second.send_signal(signal.SIGINT)
            out, said = second.communicate(timeout=60)
        finally:
            second.terminate()
    assert (second.returncode, out, said) == (0, "", "Ending everything.\n")
    assert "view_restored" in (tmp_path / "data" / "logs" / "gateway.log").read_text()


def test_a_closed_terminal_ends_it_in_order_and_its_followers_by_name(tmp_path: Path) -> None:
    with up(tmp_path / "data", tmp_path / "said", working_directory=tmp_path) as system:
        _create(system)
        left = children(system.process.pid)
        with subprocess.Popen(
            [*CHARGEKEY, "events", "--follow", "--json", "--data", system.data],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as follower:
            assert follower.stdout
            assert follower.stdout.readline()
            assert system.end(signal.SIGHUP) == 0
            _, said = follower.communicate(timeout=60)
    assert not any(map(alive, left))
    assert follower.returncode == 1
    assert json.loads(said)["error"]["code"] in {"not_running", "unavailable"}


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_an_impatient_end_in_the_middle_of_a_restart_is_clean(tmp_path: Path, again: bool) -> None:
    """A second Ctrl-C changes nothing: what is ending ends in its order."""
    with up(tmp_path / "data", tmp_path / "said", working_directory=tmp_path) as system:
        crashed = children(system.process.pid)
        for pid, line in crashed.items():
            if "guard" not in line:
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while system.said.read_text().count("ended unexpectedly") < len(crashed) - 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if again:
            system.process.send_signal(signal.SIGINT)
        assert system.end(signal.SIGINT) == 0
    assert not about(tmp_path)
    assert "Traceback" not in (tmp_path / "said").read_text()


def _create(system: RunningSystem) -> dict[str, str]:
    created: dict[str, str] = system.chargekey(
        "installation", "create", "--name", "Home", "--time-zone", "Europe/Oslo"
    )
    return created
