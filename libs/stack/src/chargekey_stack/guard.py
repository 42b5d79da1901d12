"""Ends what a supervisor left behind when it was killed.

A process of its own that reads from the supervisor `+<pid>` for each child that
starts and `-<pid>` for each that has ended. When the pipe closes, children that
are left are ended. It shares the supervisor's lock on the data directory, so
that no new system starts there before the old one's last process is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from chargekey_stack.answers import Tell, unheard

GRACE = 10.0
POLL = 0.05
# Seconds before a guard that was killed has a successor.
PAUSE = 0.5


class Guard:
    """The supervisor's end of it; a guard that was killed is followed by another."""

    def __init__(self, lock: int, announcement: Path, tell: Tell = unheard) -> None:
        """Start the process; `lock` is the descriptor it shares.

        `announcement` is a file that says that the system runs, to be removed. `tell`
        is given a line when another guard had to take over.
        """
        self._lock = lock
        self._announcement = announcement
        self._say = tell
        self._children: set[int] = set()
        self._closing = threading.Event()
        # Held while children or the process that knows them change.
        self._changing = threading.Lock()
        self._process = self._start()
        self._watching = threading.Thread(target=self._watch, name="guard", daemon=True)
        self._watching.start()

    def started(self, pid: int) -> None:
        """Tell of a child that runs now."""
        with self._changing:
            self._children.add(pid)
            self._tell(f"+{pid}\n")

    def ended(self, pid: int) -> None:
        """Tell of a child that runs no more."""
        with self._changing:
            self._children.discard(pid)
            self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Let it go, and wait for it."""
        self._closing.set()
        with self._changing:
            self._let_go()
        self._watching.join()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own module, our own path
            [sys.executable, "-P", "-m", "chargekey_stack.guard", str(self._announcement)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=[self._lock],
            start_new_session=True,
        )

    def _watch(self) -> None:
        while True:
            self._process.wait()
            if self._closing.wait(PAUSE):
                return
            # A machine that starts no process now may start one later.
            with self._changing, contextlib.suppress(OSError):
                if self._closing.is_set():
                    return
                self._let_go()
                self._process = self._start()
                for pid in self._children:
                    self._tell(f"+{pid}\n")
                self._say("the guard ended unexpectedly; another one has taken over")

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _tell(self, line: str) -> None:
        # One that was killed is told everything again in its successor.
        with contextlib.suppress(BrokenPipeError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write(line.encode())


def main() -> None:
    """Listen until the supervisor is gone, then end its children."""
    children: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            children.add(int(line[1:]))
        else:
            children.discard(int(line[1:]))
    left = _gone(_signal(children, signal.SIGTERM))
    # The lock, which ends with this process, must not be free before they are gone.
    _gone(_signal(left, signal.SIGKILL))
    Path(sys.argv[1]).unlink(missing_ok=True)


def _gone(pids: set[int]) -> set[int]:
    """Return once they have ended, or after GRACE those that have not."""
    deadline = time.monotonic() + GRACE
    while pids and time.monotonic() < deadline:
        time.sleep(POLL)
        pids = _signal(pids, None)
    return pids


def _signal(pids: Iterable[int], how: signal.Signals | None) -> set[int]:
    """Signal each, or only look; return those that were there."""
    there = set()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, how or 0)
            there.add(pid)
    return there


if __name__ == "__main__":
    main()
