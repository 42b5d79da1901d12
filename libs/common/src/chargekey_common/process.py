"""A service's life: start everything, serve until told to stop, end in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, Protocol

import structlog
import uvloop

from chargekey_common.errors import CannotRunError
from chargekey_common.importing import imported

CANCEL_AGAIN = 0.5
# Stores block: some wait for a database while others read.
THREADS = 32
# What a job that was told to end returns, as whoever a signal ended.
_UNDONE = 128 + signal.SIGTERM
# Seconds for threads that still run when all has ended.
HANGING = 5.0

log = structlog.get_logger()


class Listener(Protocol):
    """Something that serves at an address."""

    async def start(self, address: str, /) -> object:
        """Listen on `host:port`."""

    async def stop(self) -> None:
        """Listen no more."""


class Lifetime:
    """Owns what runs in the background and what must be closed at the end."""

    def __init__(self) -> None:
        self.closing = contextlib.AsyncExitStack()
        self._stop = asyncio.Event()
        self._failed = False

    def own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` for the whole life; its end, or failure, ends the process.

        It is cancelled in its turn: after what was opened later is closed, and
        before what it may be using.
        """
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self.closing.push_async_callback(cancel, task)

    async def serve(self, listener: Listener, address: str) -> None:
        """Let it listen on `host:port` until its turn to end."""
        await listener.start(address)
        self.closing.push_async_callback(listener.stop)

    def stop(self) -> None:
        """Begin to end."""
        self._stop.set()

    @property
    def ending(self) -> bool:
        """Whether it is time to end."""
        return self._stop.is_set()

    async def stopped(self) -> None:
        """Return when it is time to end."""
        await self._stop.wait()

    async def close(self) -> bool:
        """End everything, last opened first; return whether all went well."""
        self._stop.set()
        await self.closing.aclose()
        return not self._failed

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._stop.is_set():
            return
        error = task.exception()
        if isinstance(error, CannotRunError):
            log.error("cannot_run", reason=str(error))
        else:
            log.error("task_ended", task=task.get_name(), exc_info=error)
        self._failed = True
        self._stop.set()


async def _status(starting: Awaitable[None]) -> int:
    """Return 0 once started, or a SystemExit's status: one that left a task would end the loop."""
    try:
        await starting
    except SystemExit as exited:
        return int(exited.code or 0)
    except CannotRunError as error:
        return _cannot_run(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        return _cannot_run(f"{error.filename} cannot be used: {error.strerror}.")
    return 0


def _cannot_run(reason: str) -> int:
    log.error("cannot_run", reason=reason)
    return 1


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel until all have ended, of which the caller is none; what they raised stays in them.

    Cancelled meanwhile, it ends as well, but not before they have: nothing is left behind
    that nobody owns.
    """
    cancelled: asyncio.CancelledError | None = None
    # More than once: Python 3.11's wait_for, which libraries use too, swallows a
    # cancellation that meets a result.
    while left := {task for task in tasks if not task.done()}:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=CANCEL_AGAIN)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return whether the event is set, once it is or after so many seconds."""
    # Not wait_for: in Python 3.11 it loses a cancellation that meets a wake.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def main(start: str, **jobs: str) -> NoReturn:
    """Run the service, or the job that the command line names, as in `chargekey-access migrate`.

    Each is told as `package.module:function`, and imported when it is known to be wanted.
    """
    # gRPC's core would write lines of connections, which are no JSON; read when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    match sys.argv[1:]:
        case []:
            _end_when_told(0)
            run(imported(start))
        case [job] if job in jobs:
            _end_when_told(_UNDONE)
            try:
                imported(jobs[job])()
            except CannotRunError as error:
                sys.exit(_cannot_run(str(error)))
            sys.exit(0)
        case _:
            sys.stderr.write(f"Usage: {Path(sys.argv[0]).name} [{' | '.join(jobs)}]\n")
            sys.exit(2)


def _end_when_told(status: int) -> None:
    # Already now: who is process 1 of a container is told nothing that it does not listen for,
    # and would go on to be killed, some seconds of imports later.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: sys.exit(status))


def run(start: Callable[[Lifetime], Awaitable[None]]) -> NoReturn:
    """Start a service, serve until SIGTERM or SIGINT, and exit: 0, or 1 if something failed.

    A SystemExit of `start` ends the process with its own status, a CannotRunError
    with one line.
    """

    async def live() -> int:
        lifetime = Lifetime()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS))
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, lifetime.stop)
        try:
            # A signal during the start, which may wait for others, ends it too.
            starting = asyncio.ensure_future(_status(start(lifetime)))
            stopped = asyncio.create_task(lifetime.stopped())
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            status = 0
            if not starting.done():
                await cancel(starting)
            elif (status := await starting) == 0:
                await stopped
        finally:
            well = await lifetime.close()
        status = status or (0 if well else 1)
        # A thread may hang in a database that does: everything else has ended by now.
        hanging = threading.Timer(HANGING, os._exit, (status,))
        hanging.daemon = True
        hanging.start()
        return status

    sys.exit(uvloop.run(live()))
