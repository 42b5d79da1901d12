"""A gateway of its own process that takes one message of a charger, and is killed at a step.

`python -m tests.dying` is told a `Life` a line and forks for each: what a gateway imports takes
longer than most of them last. Of each it says how it ended and, unless it was dead by then, the
transaction id and the verdict.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_gateway.sessions import journal
from chargekey_gateway.sessions.transactions import Phase

from .replicas import ATTEMPT, NOW, Replica, messages_of


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """`says` is the charger's message: `start`, `stop`, `started`, `metered` or `ended` (OCPP
    2.x).

    Dies before its write of the number `step`, counted from 1; with 0 once all is stored
    and nothing is answered, with None not at all.
    """

    url: str
    token: str
    says: str
    step: int | None
    transaction_id: int = 0


class Death(msgspec.Struct, frozen=True):
    """The exit status, a signal's below zero, and the answer of whoever came to give one."""

    status: int
    answer: tuple[int, str] | None


@functools.cache
def _midwife() -> subprocess.Popen[bytes]:
    """Return what forks, there until all tests are done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.dying"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )

    def end() -> None:
        process.kill()
        process.communicate()

    atexit.register(end)
    return process


def _lived(life: Life) -> Death:
    midwife = _midwife()
    assert midwife.stdin is not None
    assert midwife.stdout is not None
    midwife.stdin.write(msgspec.json.encode(life) + b"\n")
    return msgspec.json.decode(midwife.stdout.readline(), type=Death)


async def live(life: Life) -> tuple[int, str] | None:
    """Return what that gateway answered, or None where it was killed before."""
    async with asyncio.timeout(60):
        death = await asyncio.to_thread(_lived, life)
    assert death.status == (0 if life.step is None else -signal.SIGKILL), death
    return death.answer


class Fate:
    """Ends the process before its write of the number `step`."""

    def __init__(self, client: Client, step: int) -> None:
        self._client = client
        self._left = step
        client.publish = self._before(client.publish)  # type: ignore[method-assign]
        client.request = self._before(client.request)  # type: ignore[method-assign]

    def _before(self, write: Callable[..., Awaitable[Any]]) -> Any:
        async def written(*told: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                await self._client.flush()  # what was sent before has arrived
                os.kill(os.getpid(), signal.SIGKILL)
            return await write(*told, **options)

        return written


async def _live(life: Life) -> tuple[int, str]:
    client = await jetstream.connect(jetstream.Bus(life.url, lambda: life.token), "dying")
    replica = Replica(client)
    if life.step:
        Fate(client, life.step)
    answer: tuple[int, str] = (0, "")
    match life.says:
        case "start":
            started = await replica.start()
            answer = started.transaction_id, started.decision.status
        case "stop":
            await replica.end(life.transaction_id)
        case "started":
            decision = await replica.take(Phase.STARTED)
            assert decision is not None
            answer = 0, decision.status
        case "metered":
            await replica.running.follow(await messages_of(client))
            await replica.take(Phase.UPDATED, number=1, token=None, at=NOW, meter=1_000)
        case "ended":
            await replica.take(Phase.ENDED, number=1, token=None, at=NOW, meter=900)
        case _:
            raise ValueError(life.says)
    if life.step is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    await client.close()
    return answer


def _forked(life: Life) -> Death:
    """Return how somebody lived and died."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(said, msgspec.json.encode(asyncio.run(_live(life))))
        sys.exit()
    os.close(said)
    with os.fdopen(heard, "rb") as hearing:
        words = hearing.read()
    _, status = os.waitpid(child, 0)
    answer = msgspec.json.decode(words, type=tuple[int, str]) if words else None
    return Death(os.waitstatus_to_exitcode(status), answer)


if __name__ == "__main__":
    journal.ATTEMPT = ATTEMPT  # as in the tests' own process
    for line in sys.stdin.buffer:
        death = _forked(msgspec.json.decode(line, type=Life))
        sys.stdout.buffer.write(msgspec.json.encode(death) + b"\n")
        sys.stdout.buffer.flush()
