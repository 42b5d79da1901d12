"""Servers as processes: started, watched and ended."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import psutil

from benchmarks.bus import nats_server
from benchmarks.load.chargers import Chargers
from benchmarks.load.chargers_apart import ChargersApart

STOP_TIMEOUT = 20.0
LISTENING = "listening"
LOOK = 0.5  # seconds
AT_REST = 0.04  # of a core
SETTLED_WITHIN = 300.0


class Running:
    """A process that serves at `port`."""

    def __init__(self, process: psutil.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def cpu(self) -> float:
        """The seconds of a core that it has used, its own and the kernel's for it."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @property
    def open_files(self) -> int:
        """How many files and sockets it has open, its clients' among them."""
        return int(self._process.num_fds())

    @property
    def memory(self) -> int:
        """The bytes that it has in memory, and shares with nobody."""
        return int(self._process.memory_full_info().uss)


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[Running]:
    """Run `python -m benchmarks.load.<module>` until done with it.

    From now on this process and those that it starts may have as many open files as is allowed.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.load.{module}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            told = process.stdout.readline() if process.stdout else ""
            if not told.startswith(LISTENING):
                message = f"benchmarks.load.{module} has not started"
                raise RuntimeError(message)
            yield Running(psutil.Process(process.pid), int(told.split()[1]))
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def gateway(*, any_rate: bool) -> Iterator[Running]:
    """Run a gateway beside a nats-server of its own; at `any_rate` chargers may say anything."""
    with gateways(1, any_rate=any_rate) as [server]:
        yield server


@contextlib.contextmanager
def gateways(number: int, *, any_rate: bool) -> Iterator[Sequence[Running]]:
    """Run so many gateways that listen on one port, as `gateway` runs one."""
    rate = ["any rate"] if any_rate else []
    with contextlib.ExitStack() as stack:
        nats = stack.enter_context(nats_server())
        started: list[Running] = []
        for _ in range(number):
            port = str(started[0].port) if started else "0"
            server = running("gateway", nats.url, nats.token, port, *rate)
            started.append(stack.enter_context(server))
        yield started


def told(port: int) -> None:
    """Tell what has started this process where it listens."""
    print(LISTENING, port, flush=True)  # noqa: T201 - it waits for this


def settle(server: Running, chargers: Chargers | ChargersApart) -> None:
    """Return once the server has done what follows from chargers' coming or going."""
    until = time.monotonic() + SETTLED_WITHIN
    while time.monotonic() < until:
        before = server.cpu
        chargers.listen(LOOK)
        if server.cpu - before < AT_REST * LOOK:
            return
    message = "the server is never at rest"
    raise TimeoutError(message)
