"""The supervisor: starts every process, restarts what crashes, ends all in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import nkeys

from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.nats_server import NatsServer
from chargekey_stack.answers import Tell
from chargekey_stack.children import Child, NatsChild, ProgramChild
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.database import database
from chargekey_stack.errors import StartFailedError
from chargekey_stack.guard import Guard
from chargekey_stack.last_words import end_of, last_words, reason
from chargekey_stack.ports import ANY_FREE, Ports, Wanted, refuse_taken
from chargekey_stack.programs import (
    ADMINISTRATOR_ADDRESS,
    Addresses,
    OpenIdClient,
    Program,
    programs,
)
from chargekey_stack.system import System

START_TIMEOUT = 60.0
STOP_GRACE = 15.0
# Seconds before a crashed process is started again; the last one goes on for good.
DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# Whoever ran this long has got over what made it crash.
STEADY = 60.0


@asynccontextmanager
async def running(
    data: DataDirectory,
    wanted: Wanted = ANY_FREE,
    *,
    store: str | None = None,
    operators_anywhere: bool = False,
    keep_history: int = 0,
    administrator: str = ADMINISTRATOR_ADDRESS,
    openid: OpenIdClient | None = None,
    tell: Tell,
) -> AsyncIterator[System]:
    """Run the whole system on `data` for the length of the block, ready when it begins.

    NATS shares its port with nobody: a `wanted` one is seen to be free, and not reserved.
    `store` is the URL of a PostgreSQL to keep everything in, if not in files;
    `operators_anywhere` lets payment operators be asked without TLS, and on this machine;
    `keep_history` is for how many days history keeps what has ended, 0 for ever;
    `administrator` is the address of who may sign in and act as one; `openid` is a provider to
    sign in by.

    `tell` is given a line for each process that crashes, and one when it runs again.
    Raises what `DataDirectory.locked`, `database`, `Ports.reserve` and `refuse_taken` do, and
    StartFailedError. However the block is left, every process has ended afterwards.
    """
    with contextlib.ExitStack() as held:
        lock = held.enter_context(data.locked())
        postgres = held.enter_context(database(data, store, tell))
        ports = held.enter_context(contextlib.closing(Ports()))
        addresses = Addresses.reserve(ports, wanted)
        data.keep_views_of(addresses.gateways)
        if wanted.nats:
            refuse_taken(wanted.nats)
        guard = held.enter_context(contextlib.closing(Guard(lock, data.system_file, tell)))
        data.account(ADMINISTRATOR)
        server = NatsServer(
            data.nats,
            token=data.token("nats_token").read_text(),
            issuer=nkeys.from_seed(data.nats_issuer().read_bytes()).public_key.decode(),
            port=wanted.nats,
        )
        async with _supervised(guard, tell) as supervisor:
            await supervisor.start([NatsChild(server)])
            ours = programs(
                data,
                addresses,
                server.url,
                postgres=postgres,
                operators_anywhere=operators_anywhere,
                keep_history=keep_history,
                administrator=administrator,
                openid=openid,
            )
            await _together(
                _migrate(program, data.log(program.name)) for program in ours if program.migrates
            )
            await supervisor.start(
                [ProgramChild(program, data.log(program.name)) for program in ours]
            )
            system = System(
                ocpp=addresses.ocpp_url,
                portal=f"http://{addresses.http}",
                administrator=administrator,
                partners=f"http://{addresses.partners}",
                nats=server.url,
                grpc=dict(addresses.grpc),
                health=dict(addresses.health),
                data=str(data.path),
            )
            with data.announced(msgspec.json.encode(system)):
                yield system


async def _together(steps: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all at once; the first that fails ends the others, and its StartFailedError is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except* StartFailedError as failed:
        raise failed.exceptions[0] from None


async def _migrate(program: Program, log: Path) -> None:
    """Let a program make its tables; raises StartFailedError."""
    job = msgspec.structs.replace(program, command=(*program.command, "migrate"))
    child = ProgramChild(job, log)
    since = end_of(log)
    await child.start()
    try:
        if status := await child.ended():
            trouble = f"{program.name} could not make its tables ({_how(status)})"
            trouble = f"{trouble}. {last_words(log, since)}"
            raise StartFailedError(trouble)
    finally:
        await child.stop(STOP_GRACE)


@asynccontextmanager
async def _supervised(guard: Guard, tell: Tell) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(guard, tell)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


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
        logged = [end_of(child.log) for child in children]
        for child in children:
            self._children.append(child)
            await child.start()
            self._guard.started(child.pid)
        await _together(map(_first_ready, children, logged))
        self._keepers += [
            asyncio.create_task(self._keep(child, since), name=child.name)
            for child, since in zip(children, logged, strict=True)
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

    async def _keep(self, child: Child, logged: int) -> None:
        """Keep a child running; `logged` is where its log ended when it was started."""
        crashes = 0
        telling: asyncio.Task[None] | None = None
        try:
            while True:
                started = time.monotonic()
                status = await child.ended()
                if telling is not None:
                    telling.cancel()
                self._guard.ended(child.pid)
                if time.monotonic() - started > STEADY:
                    crashes = 0
                trouble = f"{child.name} ended unexpectedly ({_how(status)})"
                # Who is killed says nothing; what it said before has nothing to do with it.
                if status > 0 and (why := reason(child.log, logged)):
                    trouble = f"{trouble}: {why.removesuffix('.')}"
                logged = end_of(child.log)
                while trouble:
                    delay = DELAYS[min(crashes, len(DELAYS) - 1)]
                    crashes += 1
                    self._say(f"{trouble}; starting it again in {delay:g} s. Its log: {child.log}")
                    await asyncio.sleep(delay)
                    trouble = await self._start_again(child)
                telling = asyncio.create_task(self._tell_ready(child))
        finally:
            if telling is not None:
                telling.cancel()

    async def _start_again(self, child: Child) -> str:
        """Return why it could not be started, or nothing."""
        try:
            await child.start()
        except StartFailedError as error:
            return str(error).removeprefix(error.sentence).strip()
        self._guard.started(child.pid)
        return ""

    async def _tell_ready(self, child: Child) -> None:
        # One that never will be ready ends, which is told as every end.
        with contextlib.suppress(StartFailedError):
            await child.ready()
            self._say(f"{child.name} runs again")

    def _say(self, line: str) -> None:
        # Whoever read it is gone; the system is not.
        with contextlib.suppress(OSError):
            self._tell(line)


async def _first_ready(child: Child, logged: int) -> None:
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
    trouble = f"{trouble}. {last_words(child.log, logged)}"
    raise StartFailedError(trouble)


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time one
        return f"signal {-status}"
