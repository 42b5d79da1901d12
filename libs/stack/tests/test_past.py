"""What was: sessions and refusals of chargers that somebody simulates, and who changed what."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from .running_system import CHARGEKEY, RunningSystem, here

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
    return here(*arguments, data=system.data)[1]


def pages(system: RunningSystem, name: str, *arguments: str) -> Iterator[list[dict[str, Any]]]:
    """Yield what each page has, of one that is asked for behind the other."""
    before: tuple[str, ...] = ()
    while True:
        answer = system.chargekey(*arguments, *before)
        yield answer[name]
        if "next" not in answer:
            return
        before = ("--before", answer["next"])


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
    assert run(*simulate) == "charging_refused"
    status, _, trouble = here(*simulate, data=system.data)
    assert status == 1
    assert trouble.endswith("says why: Blocked (charging_refused)\n")
    [refusal, *_] = listed(system, "refusals", "list", "--charger", "CP-past")
    for each in (session, refusal):
        assert each["charger"] == "CP-past"
        assert each["user_id"] == ada["id"]
        assert "user" not in each
    for past in ("sessions", "refusals"):
        table = shown(system, past, "list", *at_site)
        assert "CP-past" in table
        assert "Ada Lovelace" in table


def test_a_start_that_is_refused_is_told_so(system: RunningSystem) -> None:
    """An `Authorize` does not tell of what charges already (OCPP 1.6 §4.8); a start does."""
    run = system.chargekey
    site = run("installation", "create", "--name", "Twice", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    passwords = {
        name: run("charger", "add", *at_site, "--ocpp-identity", name)["password"]
        for name in ("CP-first", "CP-second")
    }
    ada = run("user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Lovelace")
    pin = run("identification", "add", "--user", ada["id"], "--type", "pin", "--code", PIN)
    ask = ("authorize", "--charger", "CP-second", "--code", PIN, "--at-least")
    run(*ask, pin["position"], "--at-least", ada["access_position"])

    def simulate(charger: str) -> tuple[str, ...]:
        password = ("--password", passwords[charger])
        return ("simulate", "--ocpp-identity", charger, *password, "--code", PIN)

    with subprocess.Popen(
        [*CHARGEKEY, *simulate("CP-first"), "--json", "--data", system.data],
        stdout=subprocess.PIPE,
    ) as simulated:
        try:
            listed(system, "sessions", "list", "--charger", "CP-first")
            status, _, trouble = here(*simulate("CP-second"), data=system.data)
        finally:
            simulated.send_signal(signal.SIGINT)
    assert status == 1
    assert "charging as transaction" not in trouble
    assert trouble.endswith("says why: ConcurrentTx (charging_refused)\n")
    for past in ("sessions", "refusals"):
        listed(system, past, "list", *at_site)


def told(socket: ClientConnection, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Call as a charger does, and return the answer, whatever else is said meanwhile."""
    socket.send(json.dumps([2, action, action, payload]))
    while (frame := json.loads(socket.recv(timeout=30)))[:2] != [3, action]:
        pass
    answer: dict[str, Any] = frame[2]
    return answer


def charged_all_the_same_16(socket: ClientConnection) -> None:
    at = {"timestamp": "2026-03-03T12:00:00Z"}
    begun = told(
        socket, "StartTransaction", {"connectorId": 1, "idTag": "04FF", "meterStart": 100, **at}
    )
    assert begun["idTagInfo"]["status"] == "Invalid"
    of_it = {"transactionId": begun["transactionId"]}
    told(socket, "StopTransaction", {**of_it, "meterStop": 900, **at})


def charged_all_the_same_2(socket: ClientConnection) -> None:
    presented = {"idToken": {"idToken": "", "type": "NoAuthorization"}}
    for number, (phase, meter) in enumerate((("Started", 100), ("Updated", 500), ("Ended", 900))):
        at = f"2026-03-03T12:0{number}:00Z"
        event = {
            "eventType": phase,
            "timestamp": at,
            "triggerReason": "CablePluggedIn",
            "seqNo": number,
            "transactionInfo": {"transactionId": "all-the-same"},
            "evse": {"id": 1, "connectorId": 1},
            "meterValue": [{"timestamp": at, "sampledValue": [{"value": meter}]}],
            **(presented if phase == "Started" else {}),
        }
        answer = told(socket, "TransactionEvent", event)
        assert answer.get("idTokenInfo", {}).get("status") != "Accepted"


def test_what_flowed_after_a_refused_start_is_told(system: RunningSystem, tmp_path: Path) -> None:
    """O25, R24: over the wire of every version, at chargers that charge all the same."""
    run = system.chargekey
    site = run("installation", "create", "--name", "Same", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    for version, charge in (
        ("ocpp1.6", charged_all_the_same_16),
        ("ocpp2.0.1", charged_all_the_same_2),
        ("ocpp2.1", charged_all_the_same_2),
    ):
        identity = f"CP-{version}"
        added = run("charger", "add", *at_site, "--ocpp-identity", identity)
        run("authorize", "--charger", identity, "--code", PIN, "--at-least", added["position"])
        credentials = base64.b64encode(f"{identity}:{added['password']}".encode()).decode()
        with connect(
            f"{system.ready['ocpp']}/{identity}",
            subprotocols=[Subprotocol(version)],
            additional_headers={"Authorization": f"Basic {credentials}"},
        ) as socket:
            charge(socket)
    report = ("sessions", "report", *at_site)
    deadline = time.monotonic() + 30
    while (made := run(*report))["refused"]["sessions"] < 3:
        assert time.monotonic() < deadline
    assert (made["refused"]["energy_wh"], made["total"]["sessions"]) == (2_400, 0)
    refused = [
        (each["charger"], each["energy_wh"])
        for each in run("refusals", "list", *at_site)["refusals"]
        if each["stage"] == "start"
    ]
    assert sorted(refused) == [(f"CP-ocpp{each}", 800) for each in ("1.6", "2.0.1", "2.1")]
    assert run("sessions", "list", *at_site) == {"sessions": []}
    assert "800" in shown(system, "refusals", "list", *at_site)
    [line] = [each for each in shown(system, *report).splitlines() if "2400" in each]
    assert line.startswith("refused")
    run(*report, "--csv", str(tmp_path / "report.csv"))
    assert "refused,,,3,2400," in (tmp_path / "report.csv").read_text(encoding="utf-8")


def test_a_list_that_is_cut_says_so_and_goes_on(system: RunningSystem) -> None:
    """Of chargers that present what nobody has."""
    run = system.chargekey
    site = run("installation", "create", "--name", "Cut", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    charger = run("charger", "add", *at_site, "--ocpp-identity", "CP-cut")
    ask = ("authorize", "--charger", "CP-cut", "--code", "#0000", "--explain", "--at-least")
    run(*ask, charger["position"])
    password = ("--password", charger["password"])
    for code in ("#1111", "#2222", "#3333"):
        simulate = ("simulate", "--ocpp-identity", "CP-cut", *password, "--code", code)
        assert run(*simulate) == "charging_refused"
    refusals = ("refusals", "list", "--charger", "CP-cut")
    deadline = time.monotonic() + 30
    while len(found := listed(system, *refusals)) < 3:
        assert time.monotonic() < deadline
    assert "next" not in run(*refusals, "--limit", "3")
    assert list(pages(system, "refusals", *refusals, "--limit", "2")) == [found[:2], found[2:]]
    first = system.beside(*refusals, "--limit", "2")
    cursor = run(*refusals, "--limit", "2")["next"]
    assert f"--before {cursor}" in first
    assert system.beside(*refusals, "--limit", "3") == ""
    for past in ("sessions", "refusals"):
        assert run(past, "list", "--before", "x") == "page_token_malformed"


def test_history_of_two_services_is_one_list_in_pages(system: RunningSystem) -> None:
    run = system.chargekey
    site = run("installation", "create", "--name", "Long", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    for name in ("Ada", "Grace", "Joan"):
        user = run("user", "add-local", *at_site, "--first-name", name, "--last-name", "Berg")
        run("user", "block", user["id"])
        run("installation", "rename", site["id"], "--name", name)
    history = ("history", *at_site)
    whole = run(*history)["changes"]
    assert {each["service"] for each in whole} == {"access", "identity"}
    assert [each["at"] for each in whole] == sorted((each["at"] for each in whole), reverse=True)
    for limit in (1, 3, 4, len(whole) - 1):
        found = list(islice(pages(system, "changes", *history, "--limit", str(limit)), 50))
        assert all(len(page) == limit for page in found[:-1])
        told = [each["id"] for page in found for each in page]
        assert told == [each["id"] for each in whole]
    assert "next" not in run(*history, "--limit", str(len(whole)))
    assert "--before" in system.beside(*history, "--limit", "1")
    elsewhere = json.dumps({"history": ""}).encode()
    for cursor in (
        "x",
        "é",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(elsewhere).decode(),
    ):
        assert run(*history, "--before", cursor) == "page_token_malformed"


def test_who_stands_behind_a_reaction_is_named_and_fields_are_pairs(system: RunningSystem) -> None:
    run = system.chargekey
    site = run("installation", "create", "--name", "Behind", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    run("user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Lovelace")
    changes = {each["event"]: each for each in run("history", *at_site)["changes"]}
    granted, added = changes["PermissionGranted"], changes["LocalUserAdded"]
    assert ":" not in granted["actor"]
    assert granted["cause"] == added["id"]
    assert (granted["by"], added["by"]) == (added["actor"], None)
    assert granted["fields"]["roles"] == "USER"
    [line] = [
        line for line in shown(system, "history", *at_site).splitlines() if "LocalUser" in line
    ]
    assert line.rstrip().endswith(f"blocked=false installation_id={site['id']}")


def test_everything_about_a_user_is_a_file_that_any_program_reads(system: RunningSystem) -> None:
    """R20: as JSON, in UTF-8 also where a terminal has fewer characters."""
    run = system.chargekey
    site = run("installation", "create", "--name", "Export", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    ase = run("user", "add-local", *at_site, "--first-name", "Åse", "--last-name", "Berg")["id"]
    for export, name in ((("user", "export", ase), "user"), (("user", "export", *at_site), "csv")):
        written = subprocess.run(
            [*CHARGEKEY, *export, "--data", system.data],
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            timeout=60,
        ).stdout.decode()
        assert "Åse" in written
        if name == "user":
            assert written.startswith('{\n  "identity": {\n')
            assert set(json.loads(written)) == set(run(*export))


def test_why_and_what_if_and_how_much(system: RunningSystem, tmp_path: Path) -> None:
    """R24, R4, R12: a session and a refusal explain themselves, a change beforehand."""
    run = system.chargekey
    site = run("installation", "create", "--name", "Why", "--time-zone", "Europe/Oslo")
    at_site = ("--installation", site["id"])
    charger = run("charger", "add", *at_site, "--ocpp-identity", "CP-why")
    ada = run("user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Lovelace")
    pin = run("identification", "add", "--user", ada["id"], "--type", "pin", "--code", PIN)
    ask = ("authorize", "--charger", "CP-why", "--code", PIN, "--at-least")
    run(*ask, pin["position"], "--at-least", ada["access_position"])
    simulate = (
        *("simulate", "--ocpp-identity", "CP-why", "--password", charger["password"]),
        *("--code", PIN),
    )
    with subprocess.Popen(
        [*CHARGEKEY, *simulate, "--json", "--data", system.data], stdout=subprocess.PIPE
    ) as simulated:
        try:
            [session] = listed(system, "sessions", "list", "--charger", "CP-why")
            block = ("user", "block", ada["id"], "--dry-run")
            tried = run(*block)
            told = shown(system, *block)
        finally:
            simulated.send_signal(signal.SIGINT)
        assert simulated.wait(30) == 0
    lost = {"user_id": ada["id"], "charger_id": session["charger_id"], "reason": "user_blocked"}
    assert (tried["losses"], tried["losses_in_all"]) == ([lost], 1)
    assert tried["stopped_session_ids"] == [session["id"]]
    assert "Ada Lovelace" in told
    assert "CP-why" in told
    [permission] = run("permission", "list", *at_site, "--user", ada["id"])["permissions"]
    for command, reason in (
        (("permission", "revoke", permission["id"]), "no_permission"),
        (("charger", "types", "CP-why", "--disable", "pin"), "type_disabled"),
    ):
        assert run(*command, "--dry-run")["losses"] == [lost | {"reason": reason}]
    for opening in (
        ("installation", "set", site["id"], "--authorisation-required", "no"),
        ("charger", "set", "CP-why", "--authorisation", "not-required"),
    ):
        gains = run(*opening, "--dry-run")["gains"]
        assert gains == [{**lost, "user_id": None, "reason": None}]

    began = run("why", session["id"])
    assert (began["status"], began["reason"], began["same"]) == (
        "Accepted",
        "installation_permission",
        True,
    )
    run(*ask, run("user", "block", ada["id"])["position"])  # a dry run has not done it
    assert run(*simulate) == "charging_refused"
    [refusal, *_] = listed(system, "refusals", "list", "--charger", "CP-why")
    why = run("why", refusal["id"])
    assert (why["reason"], why["same"], why["inputs"]["user_blocked"]) == (
        "user_blocked",
        True,
        True,
    )
    assert why["explanation"][-1].endswith("yes: user_blocked")
    told = shown(system, "why", refusal["id"])
    assert "A tap was refused at CP-why" in told
    assert "Ada Lovelace" in told
    assert "Decided again from the same: the same." in told
    assert told.splitlines()[-1].startswith("->")
    assert refusal["id"] in shown(system, "refusals", "list", "--charger", "CP-why")
    assert session["id"] in shown(system, "sessions", "list", "--charger", "CP-why")

    assert_reported(system, at_site, ada["id"], tmp_path)


def assert_reported(
    system: RunningSystem, at_site: tuple[str, str], ada: str, tmp_path: Path
) -> None:
    """The one session is in the report, in the table, and in both files (R24)."""
    run = system.chargekey
    deadline = time.monotonic() + 30
    while not (made := run("sessions", "report", *at_site))["total"]["sessions"]:
        assert time.monotonic() < deadline
    assert [each["id"] for each in made["users"]] == [ada]
    assert run("sessions", "report", *at_site, "--to", "2020-01-01")["total"]["sessions"] == 0
    csv, xlsx = tmp_path / "report.csv", tmp_path / "report.xlsx"
    files = run("sessions", "report", *at_site, "--csv", str(csv), "--xlsx", str(xlsx))["files"]
    assert files == [str(csv), str(xlsx)]
    assert f"user,{ada},Ada Lovelace,1," in csv.read_text(encoding="utf-8")
    assert xlsx.read_bytes().startswith(b"PK")
    assert "Ada Lovelace" in shown(system, "sessions", "report", *at_site)
