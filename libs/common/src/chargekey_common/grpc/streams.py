"""Streams of requests: read one at a time, and ended when it is time.

ChargekeyError
├── FailedPreconditionError
│   └── StreamIdleError      stream_idle
└── UnavailableError
    └── ServerEndingError    server_ending
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from grpc import aio

from chargekey_common.errors import (
    ChargekeyError,
    FailedPreconditionError,
    UnauthenticatedError,
    UnavailableError,
)
from chargekey_common.grpc import requests

# Seconds without a request.
LONGEST_PAUSE = 60.0


class StreamIdleError(FailedPreconditionError):
    """Nothing was asked for a while."""

    code = "stream_idle"
    sentence = (
        f"Nothing was asked for {LONGEST_PAUSE:.0f} seconds; open a stream when there is something"
        " to ask."
    )


class ServerEndingError(UnavailableError):
    """The process was told to end."""

    code = "server_ending"
    sentence = "This server is ending; ask what has no answer yet in another stream."


class Requests:
    """What a caller sends in one stream, for whoever answers it, while the block runs.

    They are decoded one at a time: what is not asked for waits at the caller's. It ends, once
    what was read is answered, when the token expires (`expires_in` seconds), after `LONGEST_PAUSE`
    without a request, or by `end`: with that error in place of the next request.
    """

    def __init__(
        self,
        context: aio.ServicerContext[Any, Any],
        decode: Callable[[bytes], Any] | None,
        *,
        expires_in: float,
    ) -> None:
        """Belong to the task that runs now."""
        self._context = context
        self._decode = decode
        self._expires_in = expires_in
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._over: ChargekeyError | None = None
        self._reading = False
        self._heard = 0.0

    def __enter__(self) -> Self:
        """Begin to look at the clock."""
        self._heard = self._loop.time()
        self._expiring = self._loop.call_later(self._expires_in, self.end, UnauthenticatedError())
        self._looking = self._loop.call_later(LONGEST_PAUSE, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        """Look at it no more."""
        self._expiring.cancel()
        self._looking.cancel()

    def end(self, why: ChargekeyError) -> None:
        """Give no further request; the first reason counts."""
        if self._over is not None:
            return
        self._over = why
        if self._reading and self._task is not None:
            self._task.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - any message
        """Return the next one; raises what it ended for, or what `requests.read` does."""
        if self._over is not None:
            raise self._over
        self._reading = True
        try:
            data: Any = await self._context.read()
        except asyncio.CancelledError:
            why = self._ended()
            if why is None:
                raise
            raise why from None
        finally:
            self._reading = False
        if data is aio.EOF:
            raise StopAsyncIteration
        self._heard = self._loop.time()
        return requests.read(data, self._decode)

    def _ended(self) -> ChargekeyError | None:
        """Return why the reading was cancelled; None where the task was, the caller having gone."""
        if self._over is None or self._task is None or self._task.uncancel():
            return None
        return self._over

    def _look(self) -> None:
        # Once a pause, and not at every request: a timer costs as much as a decision.
        paused = self._loop.time() - self._heard if self._reading else 0.0
        if paused >= LONGEST_PAUSE:
            self.end(StreamIdleError())
        else:
            self._looking = self._loop.call_later(LONGEST_PAUSE - paused, self._look)
