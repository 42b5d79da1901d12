"""A gateway of its own process that takes one message of a charger, and is killed at a step.

`python -m tests.dying JSON` with a `Life`: it says the transaction id and the verdict,
unless it is dead by then.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_gateway.sessions.transactions import Phase

from .replicas import NOW, Replica, messages_of


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


async def live(life: Life) -> tuple[int, str] | None:
    """Return what that gateway answered, or None where it was killed before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.dying",
        msgspec.json.encode(life).decode(),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    if life.step is not None:
        assert process.returncode == -signal.SIGKILL, said
        return None
    transaction_id, verdict = json.loads(said)
    return transaction_id, verdict


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


async def _main(life: Life) -> None:
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
    sys.stdout.write(json.dumps(answer))
    await client.close()


if __name__ == "__main__":
    asyncio.run(_main(msgspec.json.decode(sys.argv[1], type=Life)))
