"""The command line without a system: what it understands, and how it says no."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from chargekey_common.accounts import ADMINISTRATOR
from chargekey_stack import cli, usage
from chargekey_stack.answers import cell, done, fields, instant, show, table
from chargekey_stack.data_directory import VERSION, DataDirectory
from chargekey_stack.errors import ChoiceUnknownError
from chargekey_stack.options import Code
from chargekey_stack.ports import HOST, Ports
from chargekey_stack.words import TYPES

from .announced import announced
from .running_system import CHARGEKEY, here

COMMANDS = [
    "access-request approve",
    "access-request create",
    "access-request deny",
    "access-request list",
    "access-request show",
    "access-request withdraw",
    "audit standing",
    "audit verify",
    "authorize",
    "charger add",
    "charger availability",
    "charger clear-cache",
    "charger convergence",
    "charger disconnect",
    "charger end-session",
    "charger list",
    "charger move",
    "charger new-password",
    "charger quirks",
    "charger reset",
    "charger send",
    "charger set",
    "charger settings set",
    "charger settings show",
    "charger show",
    "charger start",
    "charger stop",
    "charger trigger",
    "charger types",
    "charger unlock",
    "demo",
    "events",
    "feed events",
    "feed show",
    "history",
    "identification add",
    "identification adopt",
    "identification change",
    "identification generate-pin",
    "identification list",
    "identification refusals",
    "identification remove",
    "identification reveal",
    "identification scan",
    "installation accept",
    "installation address",
    "installation create",
    "installation list",
    "installation policies",
    "installation rename",
    "installation set",
    "installation show",
    "installation transfer",
    "installation withdraw",
    "invitation accept",
    "invitation list",
    "invitation resend",
    "invitation revoke",
    "invitation show",
    "login",
    "logout",
    "mail choices",
    "mail choose",
    "mail list",
    "mail show",
    "ocpi connect",
    "ocpi disconnect",
    "ocpi offer",
    "ocpi pull",
    "ocpi show",
    "partner change",
    "partner connect",
    "partner create",
    "partner credentials issue",
    "partner credentials list",
    "partner credentials nats",
    "partner credentials revoke",
    "partner decision-endpoint remove",
    "partner decision-endpoint set",
    "partner decision-endpoint show",
    "partner disconnect",
    "partner list",
    "partner member add",
    "partner member list",
    "partner member remove",
    "partner overrides",
    "partner permissions",
    "partner rotate-key",
    "partner search",
    "partner show",
    "permission change",
    "permission grant",
    "permission list",
    "permission revoke",
    "refusals list",
    "restored",
    "secrets",
    "sessions list",
    "sessions report",
    "simulate",
    "up",
    "user add-local",
    "user block",
    "user blocked",
    "user chargers",
    "user erase",
    "user export",
    "user import",
    "user list",
    "user profile",
    "user rename",
    "user search",
    "user show",
    "user unblock",
    "user who-can-use",
    "webhook add",
    "webhook attempts",
    "webhook change",
    "webhook disable",
    "webhook enable",
    "webhook list",
    "webhook remove",
    "webhook replay",
    "webhook rotate",
    "whoami",
    "why",
]


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, entry in group.commands.items():
        if hasattr(entry, "commands"):
            yield from leaves(entry, (*path, name))
        else:
            yield " ".join((*path, name)), entry


LEAVES = dict(leaves(typer.main.get_command(cli.app)))


def chargekey(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(arguments, *here(*arguments, data=data))


def test_these_are_the_commands() -> None:
    assert sorted(LEAVES) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example_that_it_understands(name: str) -> None:
    entry = LEAVES[name]
    assert entry.help
    head, *arguments = shlex.split(entry.epilog.removeprefix("Example: "))
    assert head == "chargekey"
    words = name.split()
    assert arguments[: len(words)] == words
    entry.make_context(name, arguments[len(words) :])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json_and_data(name: str) -> None:
    options = {option for parameter in LEAVES[name].params for option in parameter.opts}
    assert {"--json", "--data"} <= options


def test_an_error_is_one_line_for_people(tmp_path: Path) -> None:
    result = chargekey("installation", "list", data=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "`chargekey up`" in result.stderr


@pytest.mark.parametrize(("flags", "shown"), [((), b"caf?"), (("--json",), "café".encode())])
def test_a_terminal_without_the_character_stops_no_command(
    tmp_path: Path, flags: tuple[str, ...], shown: bytes
) -> None:
    said = subprocess.run(
        [*CHARGEKEY, "installation", "list", "--data", tmp_path / "café", *flags],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        timeout=30,
    ).stderr
    assert shown in said
    assert b"Traceback" not in said


def test_an_error_is_a_document_for_scripts(tmp_path: Path) -> None:
    result = chargekey("installation", "list", "--json", data=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["code"] == "not_running"
    assert str(tmp_path) in error["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("charger", "add", "--installation", "x"),
        ("charger", "add", "--fly"),
        ("charger", "set", "CP-1"),
        ("identification", "add", "--user", "u", "--type", "tattoo", "--code", "#2468"),
        ("fly",),
    ],
)
def test_a_command_line_that_makes_no_sense_exits_with_2(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = chargekey(*arguments, "--json", data=tmp_path)
    assert result.returncode == 2
    error = json.loads(result.stderr)["error"]
    assert error["code"] == "usage"
    assert ". See `chargekey " in error["message"]
    assert error["message"].endswith(" --help`.")
    assert "2468" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("authorize", "--charger", "X", "--code", "x", "#2468"), "more words than"),
        (("authorize", "--charger", "X", "--kode=#2468"), "--code"),
        (("authorize", "--charger", "X", "--explain=#2468", "--code", "x"), "--explain"),
        (("authorize", "--code", "x", "--type", "#2468"), "not one of 'pin', 'rfid'"),
        (("authorize", "--code", "#2468"), "--charger"),
        (("sessions", "list", "--limit", "#2468"), "should be a valid integer"),
        (("sessions", "list", "--limit", "2468"), "less than or equal to 1000"),
        (("up", "--ocpp-port", "2468999"), "less than or equal to 65535"),
        (("up", "--keep-history", "-2468"), "greater than or equal to 0"),
        (("restored", "#2468"), "not one of 'access', 'identity'"),
        (("identification", "#2468"), "there are add, change, reveal, remove, list, generate-pin"),
        (("#2468",), "there are up, demo"),
    ],
)
def test_what_was_typed_is_never_repeated(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """It may be a PIN in the wrong place."""
    result = chargekey(*arguments, data=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "2468" not in result.stderr
    assert result.stdout == ""


def test_an_answer_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "version").write_text(VERSION)
    (tmp_path / "access").mkdir()
    sqlite3.connect(tmp_path / "access" / "access.db").close()
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [*CHARGEKEY, "restored", "access", "--json", "--data", tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    assert said.returncode == 1
    assert json.loads(said.stderr)["error"]["code"] == "output_failed"


def test_what_another_version_says_of_itself_is_not_guessed_at(tmp_path: Path) -> None:
    DataDirectory(tmp_path).account(ADMINISTRATOR)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "system.json").write_text('{"ready": true}')
    result = chargekey("installation", "list", "--json", data=tmp_path)
    assert json.loads(result.stderr)["error"]["code"] == "data_version"


@pytest.mark.parametrize(
    "arguments",
    [
        ("installation", "list"),
        ("events",),
        ("audit", "verify"),
        ("simulate", "--ocpp-identity", "CP", "--password", "p", "--code", "c"),
    ],
)
def test_what_a_killed_system_left_behind_is_not_taken_for_it(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    data = DataDirectory(tmp_path)
    with data.locked():
        pass
    with elsewhere(data):
        result = chargekey(*arguments, "--json", data=tmp_path)
    assert json.loads(result.stderr)["error"]["code"] == "not_running"


def test_what_a_cluster_says_is_told_as_it_is(tmp_path: Path) -> None:
    """No system holds the directory that says where a cluster is."""
    with elsewhere(DataDirectory(tmp_path)):
        result = chargekey("installation", "list", "--json", data=tmp_path)
    assert json.loads(result.stderr)["error"]["code"] == "unavailable"


@contextlib.contextmanager
def elsewhere(data: DataDirectory) -> Iterator[None]:
    """Let the directory tell of a system where nobody answers."""
    with (
        contextlib.closing(Ports()) as ports,
        announced(data, f"{HOST}:{ports.reserve()}"),
    ):
        yield


def test_ctrl_c_is_told_by_its_name(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*CHARGEKEY, "demo", "--json", "--data", tmp_path / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        deadline = time.monotonic() + 30
        while not (tmp_path / "data" / "lock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)  # until it has begun
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert out == ""
    assert json.loads(err)["error"]["code"] == "interrupted"


def test_ctrl_c_while_the_rest_is_imported_is_told_by_its_name(tmp_path: Path) -> None:
    interpreter, script = CHARGEKEY
    with subprocess.Popen(
        [interpreter, "-X", "importtime", script, "installation", "list", "--data", tmp_path],
        stderr=subprocess.PIPE,
        # However slowly we read, it is not far ahead: it waits for us.
        bufsize=0,
        pipesize=4096,
    ) as command:
        assert command.stderr
        while b"chargekey_stack.__main__" not in command.stderr.readline():
            pass
        command.stderr.readline()  # the first import of the rest
        command.send_signal(signal.SIGINT)
        _, told = command.communicate(timeout=60)
    said = told.decode()
    assert command.returncode == 130, said
    assert said.endswith("Interrupted. (interrupted)\n")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "shown"), [((), "Who may charge"), (("charger",), "Switch identification types")]
)
def test_help_is_all_that_is_shown_without_a_command(words: tuple[str, ...], shown: str) -> None:
    said = subprocess.run(
        [*CHARGEKEY, *words], capture_output=True, text=True, check=False, timeout=30
    )
    assert said.returncode == 2
    assert shown in said.stdout
    assert said.stderr == ""


def test_help_shows_flags_without_a_value() -> None:
    said = subprocess.run(
        [*CHARGEKEY, "sessions", "list", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "--json" in said.stdout
    assert "<bool>" not in said.stdout


def test_the_version_is_shown() -> None:
    said = subprocess.run(
        [*CHARGEKEY, "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    assert re.fullmatch(rf"Chargekey \d+\.\d+\.\d+ .*version {VERSION}\)\n", said.stdout)


def test_an_option_without_its_value_names_the_command(tmp_path: Path) -> None:
    said = subprocess.run(
        [*CHARGEKEY, "identification", "add", "--data", tmp_path, "--code"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert "See `chargekey identification add --help`" in said.stderr


@pytest.mark.parametrize("given", [("--data", ""), ("--data=",)])
def test_an_empty_data_directory_is_not_the_current_one(
    tmp_path: Path, given: tuple[str, ...]
) -> None:
    said = subprocess.run(
        [*CHARGEKEY, "up", *given],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert said.returncode == 2
    assert said.stderr.endswith(" (usage)\n")
    assert not list(tmp_path.iterdir())


def test_a_data_directory_one_may_not_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs this may be the one who may read everything."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    LEAVES["up"].make_context("up", ["--data", str(tmp_path)])


def test_a_wrong_value_in_the_environment_is_told_in_whole_words(tmp_path: Path) -> None:
    class Failing(typer.BadParameter):
        def format_message(self) -> str:
            return f"Invalid value for '--data' (env var: 'CHARGEKEY_DATA'): {self.message}"

    said = usage.trouble(Failing(f"{tmp_path} is bad"))
    assert said == (
        "Invalid value for '--data' (env var: 'CHARGEKEY_DATA'): it cannot be understood"
    )


def test_standard_input_that_is_no_text_is_refused(tmp_path: Path) -> None:
    said = subprocess.run(
        [*CHARGEKEY, "authorize", "--charger", "C", "--code", "-", "--data", tmp_path],
        input=b"\xff\n",
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert said.returncode == 2
    assert b"standard input is not UTF-8" in said.stderr


def test_a_store_that_is_damaged_is_told(tmp_path: Path) -> None:
    (tmp_path / "version").write_text(VERSION)
    (tmp_path / "access").mkdir()
    (tmp_path / "access" / "access.db").write_bytes(b"no database" * 100)
    result = chargekey("restored", "access", "--json", data=tmp_path)
    assert json.loads(result.stderr)["error"]["code"] == "store_damaged"


@pytest.mark.parametrize(
    ("closing", "words", "said"),
    [
        (">&-", ("--version",), "output_failed"),
        ("2>&-", ("installation", "list"), ""),
        ("2>/dev/full", ("installation", "list"), ""),
    ],
)
def test_a_closed_output_is_an_error_and_no_crash(
    tmp_path: Path, closing: str, words: tuple[str, ...], said: str
) -> None:
    result = subprocess.run(
        ["bash", "-c", f'"$@" {closing}', "bash", *CHARGEKEY, *words],  # noqa: S607 - the person's own
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CHARGEKEY_DATA": str(tmp_path)},
        timeout=30,
    )
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("given", "read"), [("#2468", "#2468"), ("-", "#1357")])
def test_a_code_can_come_from_standard_input(given: str, read: str) -> None:
    """A secret on a command line stands in the shell's history."""
    app = typer.Typer()
    seen = []

    @app.command()
    def present(code: Code) -> None:
        seen.append(code)

    result = CliRunner().invoke(app, ["--code", given], input="#1357\n")
    assert result.exit_code == 0
    assert seen == [read]


def test_words_are_read_with_commas_and_unknown_ones_are_refused_with_the_known() -> None:
    assert TYPES.numbers("pin,rfid") == [
        TYPES.number("pin"),
        TYPES.number("rfid"),
    ]
    assert TYPES.numbers("") == []
    with pytest.raises(ChoiceUnknownError, match="rfid, pin, app"):
        TYPES.numbers("pin,face")


def test_a_list_is_a_table_for_people_and_a_document_for_scripts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = table("cars", [{"id": "1", "fast": True, "colours": ["red", "[blue]"], "owner": None}])
    show(answer, as_json=False)
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["id", "fast", "colours", "owner"]
    assert row.split() == ["1", "yes", "red,", "[blue]", "-"]
    show(answer, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "cars": [{"id": "1", "fast": True, "colours": ["red", "[blue]"], "owner": None}]
    }
    show(table("cars", []), as_json=False)
    assert capsys.readouterr().out == "No cars.\n"


def test_what_others_call_things_moves_no_cursor() -> None:
    """A charger names its own vendor."""
    assert "\x1b" not in cell("\x1b[2Jgone")
    assert cell(["a\nb"]) == "a\N{REPLACEMENT CHARACTER}b"
    assert cell("blåbær") == "blåbær"


def test_a_thing_created_is_a_line_for_people_and_a_document_for_scripts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = done("Created.", id="7", position="access:0:1")
    show(answer, as_json=False)
    show(answer, as_json=True)
    assert capsys.readouterr().out == 'Created.\n{"id":"7","position":"access:0:1"}\n'


def test_an_answer_is_there_at_once_where_no_terminal_is() -> None:
    """Whoever waits for `up` to be ready reads a pipe or a file."""
    program = (
        "import os; from chargekey_stack.answers import done, show; "
        "show(done('Ready.'), as_json=False); os._exit(0)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=60,
    )
    assert said.stdout == "Ready.\n"


def test_one_thing_shows_its_fields_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    show(fields({"id": "7", "open": False}), as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["id", "7"],
        ["open", "no"],
    ]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_000_000_123_456_789, "2026-11-18T11:06:40.123Z"),
        (1_795_000_000_000_000_000, "2026-11-18T11:06:40Z"),
    ],
)
def test_instants_are_rfc_3339_in_utc(nanoseconds: int, text: str) -> None:
    assert instant(nanoseconds) == text
