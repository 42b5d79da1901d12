"""The supervisor: starts every process, restarts what crashes, ends all in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.nats_server import NatsServer
from chargekey_stack.answers import Tell
from chargekey_stack.children import Child, NatsChild, ProgramChild
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import StartFailedError
from chargekey_stack.guard import Guard
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, programs
from chargekey_stack.system import System

START_TIMEOUT = 60.0
STOP_GRACE = 15.0
# Seconds before a crashed process is started again; the last one goes on for good.
DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# Whoever ran this long has got over what made it crash.
STEADY = 60.0


@asynccontextmanager
async def running(data: DataDirectory, *, ocpp_port: int = 0, tell: Tell) -> AsyncIterator[System]:
    """Run the whole system on `data` for the length of the block, ready when it begins.

    `tell` is given a line for each process that crashes. Raises what
    `DataDirectory.locked` and `Ports.reserve` do, and StartFailedError. However
    the block is left, every process has ended afterwards.
    """
    with contextlib.ExitStack() as held:
        lock = held.enter_context(data.locked())
        ports = held.enter_context(contextlib.closing(Ports()))
        addresses = Addresses.reserve(ports, ocpp_port=ocpp_port)
        guard = held.enter_context(contextlib.closing(Guard(lock, data.system_file)))
        data.account(ADMINISTRATOR)
        server = NatsServer(data.nats, token=data.token("nats_token").read_text())
        async with _supervised(guard, tell) as supervisor:
            await supervisor.start([NatsChild(server)])
            await supervisor.start(
                [
                    ProgramChild(program, data.log(program.name))
                    for program in programs(data, addresses, server.url)
                ]
            )
            system = System(
                ocpp=f"ws://{addresses.ocpp}/ocpp",
                nats=server.url,
                grpc=dict(addresses.grpc),
                data=str(data.path),
            )
            with _announced(system, data.system_file):
                yield system


@asynccontextmanager
async def _supervised(guard: Guard, tell: Tell) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(guard, tell)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


@contextlib.contextmanager
def _announced(system: System, file: Path) -> Iterator[None]:
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(system))
    fresh.rename(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


class Supervisor:
    """Keeps children running from `start` to `stop`."""

    def __init__(self, guard: Guard, tell: Tell) -> None:
        self._guard = guard
        self._tell = tell
        self._children: list[Child] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, children: Sequence[Child]) -> None:
        """Start these together, return when all are ready, keep them running from then on.

        Raises StartFailedError as soon as one has ended, or after START_TIMEOUT.
        """
        for child in children:
            self._children.append(child)
            await child.start()
            self._guard.started(child.pid)
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(_first_ready(child))
        except* StartFailedError as failed:
            raise failed.exceptions[0] from None
        self._keepers += [
            asyncio.create_task(self._keep(child), name=child.name) for child in children
        ]

    async def stop(self) -> None:
        """End all, last started first, each one before the next."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for child in reversed(self._children):
            pid = child.pid
            await child.stop(STOP_GRACE)
            self._guard.ended(pid)

    async def _keep(self, child: Child) -> None:
        crashes = 0
        while True:
            started = time.monotonic()
            status = await child.ended()
            self._guard.ended(child.pid)
            if time.monotonic() - started > STEADY:
                crashes = 0
            delay = DELAYS[min(crashes, len(DELAYS) - 1)]
            crashes += 1
            self._tell(
                f"{child.name} ended unexpectedly ({_how(status)}); "
                f"starting it again in {delay:g} s. Its log: {child.log}"
            )
            await asyncio.sleep(delay)
            try:
                await child.start()
            except StartFailedError as error:
                self._tell(str(error))
            else:
                self._guard.started(child.pid)


async def _first_ready(child: Child) -> None:
    ready = asyncio.create_task(child.ready())
    ended = asyncio.create_task(child.ended())
    try:
        await asyncio.wait(
            {ready, ended}, timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        if ended.done():
            trouble = f"{child.name} ended with {_how(ended.result())}"
        elif ready.done():
            return await ready
        else:
            trouble = f"{child.name} is not ready after {START_TIMEOUT:g} s"
    finally:
        ready.cancel()
        ended.cancel()
        await asyncio.gather(ready, ended, return_exceptions=True)
    trouble = f"{trouble}. {_last_words(child.log)}"
    raise StartFailedError(trouble)


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def _last_words(log: Path) -> str:
    """Return the last line of a log, and where to read on."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        lines = file.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "It said nothing")
    return f"{last} - its log: {log}"
