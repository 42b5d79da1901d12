"""`chargekey` as people run it: processes, exit codes, what is said where."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from chargekey_stack import cli

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
        return _answer(*self._run(*arguments, "--json"))

    def refusal(self, *arguments: str) -> str:
        """Run a command that is refused; return the sentence that the person is told."""
        out, err = self._run(*arguments, "--json")
        assert out == ""
        sentence: str = json.loads(err)["error"]["message"]
        return sentence

    def beside(self, *arguments: str) -> str:
        """Run a command that is done; return what the person is told beside its answer."""
        out, err = self._run(*arguments)
        assert out
        return err

    def _run(self, *arguments: str) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        command_line = ["chargekey", *arguments, "--data", str(self.data)]
        with (
            mock.patch.object(sys, "argv", command_line),
            redirect_stdout(out),
            redirect_stderr(err),
            contextlib.suppress(SystemExit),
        ):
            cli.main()
        return out.getvalue(), err.getvalue()

    def end(self, how: signal.Signals) -> int:
        """End it; return the exit status."""
        self.process.send_signal(how)
        return self.process.wait(60)


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
    error = json.loads(err)["error"]
    assert set(error) == {"code", "message"}
    return error["code"]


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
