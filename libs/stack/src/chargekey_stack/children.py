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

NATS_POLL = 0.25


class Child(Protocol):
    """What the supervisor needs of each; a child that has ended can be started again."""

    name: str
    log: Path

    @property
    def pid(self) -> int:
        """The process id, 0 where none was started."""

    async def start(self) -> None:
        """Start the process; raises StartFailedError, and then none runs."""

    async def ready(self) -> None:
        """Return once it serves; may raise StartFailedError when it never will."""

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
        try:
            self.log.touch(mode=0o600)
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
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int:
        """The process id, 0 where none was started."""
        return 0 if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start, and return at once."""
        try:
            self._server.launch()
        except NatsServerError as error:
            raise StartFailedError(str(error)) from None
        self._process = self._server.process

    async def ready(self) -> None:
        """Return once clients are served; raises StartFailedError."""
        self._waiting = asyncio.ensure_future(asyncio.to_thread(self._server.wait_until_serving))
        try:
            # A thread cannot be cancelled: `stop` waits for it.
            await asyncio.shield(self._waiting)
        except NatsServerError as error:
            raise StartFailedError(str(error)) from None

    async def ended(self) -> int:
        """Return the exit status once it has ended."""
        process = self._process
        while process is not None and process.poll() is None:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(NATS_POLL)
        return 0 if process is None else process.returncode

    async def stop(self, grace: float) -> None:
        """End it within `grace` seconds, by force after that."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, grace)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        if self._waiting is not None:
            await asyncio.gather(self._waiting, return_exceptions=True)
