"""`chargekey` as people run it: processes, exit codes, what is said where."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest

from chargekey_stack import cli

Answer = TypeVar("Answer")

CHARGEKEY = [sys.executable, str(Path(sysconfig.get_path("scripts")) / "chargekey")]


class RunningSystem:
    """A system that `up` runs; `said` is its standard error."""

    def __init__(self, process: subprocess.Popen[str], data: Path, said: Path) -> None:
        self.process = process
        self.data = data
        self.said = said
        assert process.stdout is not None
        self.ready_line = process.stdout.readline()
        assert self.ready_line, said.read_text()
        self.ready: dict[str, Any] = json.loads(self.ready_line)

    def chargekey(self, *arguments: str) -> Any:
        """Run a command on this system, here; return its document, or its error's code."""
        _, out, err = here(*arguments, "--json", data=self.data)
        return _answer(out, err)

    def refusal(self, *arguments: str) -> str:
        """Run a command that is refused; return the sentence that the person is told."""
        return refused(*arguments, data=self.data)["message"]

    def beside(self, *arguments: str) -> str:
        """Run a command that is done; return what the person is told beside its answer."""
        _, out, err = here(*arguments, data=self.data)
        assert out
        return err

    def end(self, how: signal.Signals) -> int:
        """End it; return the exit status."""
        self.process.send_signal(how)
        return self.process.wait(60)


def here(*arguments: str, data: Path) -> tuple[int, str, str]:
    """Run a command without a process; return its exit status, its output and its errors.

    A process imports for longer than most commands take.
    """
    out, err = io.StringIO(), io.StringIO()
    command_line = ["chargekey", *arguments, "--data", str(data)]
    with (
        mock.patch.object(sys, "argv", command_line),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as exited,
    ):
        cli.main()
    assert isinstance(exited.value.code, int)
    return exited.value.code, out.getvalue(), err.getvalue()


def refused(*arguments: str, data: Path) -> dict[str, str]:
    """Run a command that is refused, here; return its error."""
    status, out, err = here(*arguments, "--json", data=data)
    assert (status, out) == (1, "")
    return _error(err)


def at_last(ask: Callable[[], Answer]) -> Answer:
    """Return the answer once it is one: what is done at one place is known elsewhere later."""
    deadline = time.monotonic() + 30
    while not (found := ask()):
        assert time.monotonic() < deadline
    return found


def chargekey(*arguments: str, data: Path) -> Any:
    """Run a command as a process; return its document, or its error's code."""
    result = subprocess.run(
        [*CHARGEKEY, *arguments, "--json", "--data", data],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == (1 if result.stderr else 0)
    return _answer(result.stdout, result.stderr)


def _answer(out: str, err: str) -> Any:
    if out:
        assert err == ""
        return json.loads(out)
    return _error(err)["code"]


def _error(said: str) -> dict[str, str]:
    error: dict[str, str] = json.loads(said)["error"]
    assert set(error) == {"code", "message"}
    return error


@contextmanager
def up(data: Path, said: Path, *options: str, working_directory: Path) -> Iterator[RunningSystem]:
    """Run `chargekey up` for the length of the block, unless the block ends it."""
    with (
        said.open("w") as stderr,
        subprocess.Popen(
            [*CHARGEKEY, "up", *options, "--json", "--data", data],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=working_directory,
        ) as process,
    ):
        try:
            yield RunningSystem(process, data, said)
        finally:
            process.terminate()
