"""What people see of a fleet while it plays: a table that changes, or a line now and then."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from itertools import pairwise

import pytest

from chargekey_stack.commands import simulate

from .running_system import CHARGEKEY, RunningSystem

CHARGERS = 3
ROWS, COLUMNS = 40, 100
SOON = 1.0  # seconds between two lines, for tests
ROWS_ALWAYS = 6  # of its table: seconds, connected, charging, sessions, reconnects, not kept
UP, ERASED = "\x1b[1A", "\x1b[2K"
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LINE = re.compile(
    rf" *(\d+\.\d) s, (\d) of {CHARGERS} connected, (\d+) charging, (\d+) sessions, (\d+) taps,"
    r"(?: [a-z]+ p95 [\d.]+ ms,)* \d+ reconnects, (\d+) errors"
)


def a_fleet(*options: str) -> tuple[str, ...]:
    return ("simulate", "--chargers", str(CHARGERS), *options)


def on_a_terminal(system: RunningSystem, *command: str) -> tuple[str, str]:
    """Return what it answered, and what was drawn on the terminal, with its control sequences."""
    terminal, its_end = pty.openpty()
    size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, size)
    plain = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(
        [*CHARGEKEY, *command, "--data", system.data],
        stdout=subprocess.PIPE,
        stderr=its_end,
        env=plain | {"TERM": "xterm-256color"},
    ) as process:
        os.close(its_end)
        drawn = b""
        # Linux says EIO at the end of what was written there.
        while some := _read(terminal):
            drawn += some
        os.close(terminal)
        assert process.stdout is not None
        answer = process.stdout.read().decode()
    assert process.returncode == 0, drawn
    return answer, drawn.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def row(name: str, text: str) -> list[str]:
    """Return what a row of this name says, each time the table was drawn."""
    return re.findall(rf"{name} +(\S.*?) *\r?\n", SEQUENCE.sub("", text))


def test_on_a_terminal_a_fleet_is_a_table_that_changes_and_is_gone_in_the_end(
    system: RunningSystem,
) -> None:
    answer, drawn = on_a_terminal(system, *a_fleet("--duration", "6", "--seed", "4"))
    assert "Making `Simulated site` with 3 chargers" in drawn
    seconds = [float(each) for each in row("seconds", drawn)]
    assert len(seconds) > 2  # of two looks a second, on a machine that may be busy
    assert seconds == sorted(seconds)
    assert row("connected", drawn)[-1] == f"{CHARGERS} of {CHARGERS}"
    assert {"sessions", "charging", "not kept"} <= set(re.findall(r"[a-z]+(?: kept)?", drawn))
    # Each is drawn over the one before, and nothing is left of the last one.
    assert drawn.count(UP) > len(seconds)
    last = drawn.rpartition("not kept")[2]
    assert last.count(ERASED) > ROWS_ALWAYS
    assert SHOWN in last
    assert HIDDEN in drawn
    assert not LINE.search(drawn)
    # What stays is the answer, in the same words.
    assert "Scenario morning, seed 4: played." in answer
    assert row("connected", answer) == [f"{CHARGERS} of {CHARGERS}"]
    assert int(row("sessions", answer)[0]) >= int(row("sessions", drawn)[-1])
    assert row("not kept", answer) == ["0"]
    assert "\x1b" not in answer


def test_where_there_is_no_terminal_a_fleet_says_a_line_every_five_seconds(
    system: RunningSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert simulate.LOOK_IN_LINES == 5
    monkeypatch.setattr(simulate, "LOOK_IN_LINES", SOON)
    first, *lines = system.beside(*a_fleet("--duration", "8", "--seed", "4")).splitlines()
    assert first.startswith("Making `Simulated site` with 3 chargers")
    told = [found for line in lines if (found := LINE.fullmatch(line))]
    assert len(told) == len(lines) >= 2
    at = [0.0, *(float(each[1]) for each in told)]
    assert all(later - before >= SOON - 0.2 for before, later in pairwise(at))
    assert told[-1][2] == str(CHARGERS)
    assert [int(each[4]) for each in told] == sorted(int(each[4]) for each in told)
    assert {each[6] for each in told} == {"0"}


def test_for_programs_a_fleet_says_nothing_but_its_document(system: RunningSystem) -> None:
    seen = system.chargekey(*a_fleet("--duration", "5", "--scenario", "idle"))
    assert (seen["connected"], seen["sessions"], seen["broken"]) == (CHARGERS, 0, [])
