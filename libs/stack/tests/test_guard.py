"""The guard, when somebody kills it and not the supervisor."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.guard import Guard

from .processes import children


def test_a_guard_that_is_killed_has_a_successor_that_knows_every_child(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    told: queue.Queue[str] = queue.Queue()
    with (
        data.locked() as lock,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child,
        ThreadPoolExecutor() as pool,
    ):
        guard = Guard(lock, data.system_file, told.put)
        try:
            guard.started(child.pid)
            for _ in range(2):
                os.kill(_watching(tmp_path), signal.SIGKILL)
                assert "another one has taken over" in told.get(timeout=20)
            assert child.poll() is None
        finally:
            # The guard waits until somebody has reaped it.
            ended = pool.submit(child.wait, 20)
            # Without a word about the child, as when the supervisor is killed.
            guard.close()
        assert ended.result() == -signal.SIGTERM


def _watching(data: Path) -> int:
    """Return the guard's process; one that has only just been started has no command line yet."""
    deadline = time.monotonic() + 20
    while True:
        pids = [pid for pid, line in children(os.getpid()).items() if str(data) in line]
        if pids or time.monotonic() > deadline:
            [pid] = pids
            return pid
