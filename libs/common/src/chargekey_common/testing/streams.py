"""Streams that a test takes away and makes again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import ServerError

# Seconds for a server that is clearing up.
CLEARING = 30.0


async def make_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Make a stream, also where the server still clears the directory of one before it."""
    await make_again(lambda: js.add_stream(config))


async def make_again(declare: Callable[[], Awaitable[object]]) -> None:
    """Have a stream declared its owner's way, also where the server still clears one before it."""
    deadline = time.monotonic() + CLEARING
    while True:
        try:
            await declare()
        except ServerError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            return
