"""One child process: start it, know when it ends, end it."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Protocol

from chargekey_common.nats_server import NatsServer, NatsServerError
from chargekey_stack.errors import StartFailedError
from chargekey_stack.programs import Program
from chargekey_stack.readiness import wait_until_ready

NATS_POLL = 0.1


class Child(Protocol):
    """What the supervisor needs of each; a child that has ended can be started again."""

    name: str
    log: Path

    @property
    def pid(self) -> int:
        """The process id, 0 where none was started."""

    async def start(self) -> None:
        """Start; raises StartFailedError."""

    async def ready(self) -> None:
        """Return once it serves."""

    async def ended(self) -> int:
        """Return the exit status once it has ended."""

    async def stop(self, grace: float) -> None:
        """End it within `grace` seconds, by force after that; nothing where none runs."""


class ProgramChild:
    """A program of ours, its output appended to its log."""

    def __init__(self, program: Program, log: Path) -> None:
        self.name = program.name
        self.log = log
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id, 0 where none was started."""
        return 0 if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start, and return at once."""
        self.log.touch(mode=0o600)
        try:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._program.command,
                    env=dict(self._program.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C is for the supervisor, which ends its children in order.
                    start_new_session=True,
                )
        except OSError as error:
            trouble = f"{self.name}: {error.strerror}"
            raise StartFailedError(trouble) from None

    async def ready(self) -> None:
        """Return once it serves."""
        await wait_until_ready(self._program)

    async def ended(self) -> int:
        """Return the exit status once it has ended."""
        return 0 if self._process is None else await self._process.wait()

    async def stop(self, grace: float) -> None:
        """End it within `grace` seconds, by force after that."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class NatsChild:
    """The embedded nats-server; it keeps its port from start to start."""

    def __init__(self, server: NatsServer) -> None:
        self.name = "nats"
        self.log = server.log
        self._server = server
        self._starting: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int:
        """The process id, 0 where none was started."""
        return 0 if self._server.process is None else self._server.process.pid

    async def start(self) -> None:
        """Start and wait until clients are served."""
        self._starting = asyncio.ensure_future(asyncio.to_thread(self._server.start))
        try:
            # A thread cannot be cancelled: `stop` waits for it.
            await asyncio.shield(self._starting)
        except NatsServerError as error:
            raise StartFailedError(str(error)) from None

    async def ready(self) -> None:
        """Return at once: started is ready."""

    async def ended(self) -> int:
        """Return the exit status once it has ended."""
        process = self._server.process
        while process is not None and process.poll() is None:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(NATS_POLL)
        return 0 if process is None else process.returncode

    async def stop(self, grace: float) -> None:  # noqa: ARG002 - the server has a grace of its own
        """End it, by force after the server's own grace."""
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        try:
            await asyncio.to_thread(self._server.stop)
        except subprocess.TimeoutExpired:
            await asyncio.to_thread(self._server.kill)
