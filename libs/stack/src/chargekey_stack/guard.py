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
import time
from collections.abc import Iterable
from pathlib import Path

GRACE = 10.0
POLL = 0.05


class Guard:
    """The supervisor's end of it."""

    def __init__(self, lock: int, announcement: Path) -> None:
        """Start the process; `lock` is the descriptor it shares.

        `announcement` is a file that says that the system runs, to be removed.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own module, our own path
            [sys.executable, "-P", "-m", "chargekey_stack.guard", str(announcement)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=[lock],
            start_new_session=True,
        )

    def started(self, pid: int) -> None:
        """Tell of a child that runs now."""
        self._tell(f"+{pid}\n")

    def ended(self, pid: int) -> None:
        """Tell of a child that runs no more."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Let it go, and wait for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        # Whoever killed the guard alone takes the risk; the system goes on.
        with contextlib.suppress(BrokenPipeError):
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
