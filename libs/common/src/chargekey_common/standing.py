"""How far something has come in a stream, and asking the streams' server for that in time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import nats.errors

from chargekey_common import jetstream

# Seconds for an answer.
PATIENCE = 2.0

Answer = TypeVar("Answer")


class Standing(msgspec.Struct, frozen=True):
    """How far a `part` of a service is in a stream.

    `applied` and `last` are numbers of the store's events where the part is the relay, and else
    sequences of the stream. `behind` is None where nobody can tell. `moved_at` is in nanoseconds
    since the epoch, 0 where nothing has moved.
    """

    part: str
    stream: str
    generation: str = ""
    applied: int = 0
    last: int = 0
    behind: int | None = None
    moved_at: int = 0


async def told(asking: Coroutine[Any, Any, Answer]) -> Answer | None:
    """Return what the server of the streams says, None where it is silent for PATIENCE."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await jetstream.cancellably(asking)
    except (TimeoutError, nats.errors.Error, OSError):
        return None
