"""Processes that fall and are started again, and callers that outlast it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from grpc import aio

from chargekey_common.grpc.client import AWAY

# What the supervisor calls a process, and what tells it from others in /proc.
PROCESSES = {
    "nats": "nats-server",
    "mail": "mail_sink",
    "access": "chargekey-access",
    "identity": "chargekey-identity",
    "gateway": "chargekey-gateway",
    "history": "chargekey-history",
    "notifier": "chargekey-notifier",
    "portal": "chargekey-portal",
}
# Seconds for anything to be as it should again after whatever happened.
PATIENCE = 60.0

Answer = TypeVar("Answer")


async def insist(method: Callable[..., Awaitable[Answer]], request: Any) -> Answer:
    """Call until answered, as any client may: a repeated command id does nothing twice."""
    while True:
        try:
            return await method(request)
        except aio.AioRpcError as error:
            if error.code() not in AWAY:
                raise
        await asyncio.sleep(0.05)


def pids() -> dict[str, int]:
    """Return which processes of ours run."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in _read(task / "children").split():
            line = _read(Path("/proc") / pid / "cmdline")
            found |= {name: int(pid) for name, mark in PROCESSES.items() if mark in line}
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):  # ended while we looked
        return ""


class Outages:
    """Lets processes fall, and hears from the supervisor what became of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        # The names of those that were, by process id.
        self.struck: dict[int, str] = {}
        self._said = asyncio.Event()

    def tell(self, line: str) -> None:
        """Take a line of the supervisor."""
        self.lines.append(line)
        self._said.set()

    def strike(self, how: signal.Signals, *names: str) -> None:
        """Signal these, as far as they are there and not between two lives."""
        there = pids()
        for name in names:
            with contextlib.suppress(KeyError, ProcessLookupError):
                os.kill(there[name], how)
                self.struck[there[name]] = name

    async def until_all_run(self) -> None:
        """Return once every blow was noticed, and everybody runs again."""
        async with asyncio.timeout(PATIENCE):
            while self.ends().total() < len(self.struck) or self._down():
                self._said.clear()
                await self._said.wait()

    def ends(self) -> Counter[tuple[str, str]]:
        """Return how often who ended how."""
        return Counter(
            (found[1], found[2])
            for line in self.lines
            if (found := re.match(r"(\w+) ended unexpectedly \((.*?)\)", line))
        )

    def _down(self) -> set[str]:
        down: set[str] = set()
        for line in self.lines:
            name, _, rest = line.partition(" ")
            (down.discard if rest == "runs again" else down.add)(name)
        return down
