"""Parts of a page that change while somebody looks: their new HTML, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from fastapi import Request
from fastapi.responses import StreamingResponse
from grpc import aio

from chargekey_common.process import set_within
from chargekey_portal.refusals import TOO_MANY, RefusedError

# Seconds between two looks, and those after which the browser asks anew, which it does by
# itself: by then the access token that it asked with has to be replaced.
EVERY = 1.0
LASTS = 60.0
_FRESH = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


# Of one person at a time: he has no more to look at, and others have to come in.
MOST = 20


def live(request: Request, look: Callable[[], Awaitable[Mapping[str, str]]]) -> StreamingResponse:
    """Look again and again, and send each part whose HTML is another one.

    Each names by its own id what it replaces. Ends where a look is refused: then the browser
    asks anew, and is told why not; and with the portal. Raises RefusedError for one too many.
    """
    ending: asyncio.Event = request.app.state.ending
    open_streams: Counter[str] = request.app.state.open_streams
    whose: str = request.session["user_id"]
    if open_streams[whose] >= MOST:
        raise RefusedError(TOO_MANY)

    async def counted() -> AsyncIterator[str]:
        open_streams[whose] += 1
        try:
            async for event in _events(look, ending):
                yield event
        finally:
            open_streams[whose] -= 1
            if not open_streams[whose]:
                del open_streams[whose]

    return StreamingResponse(counted(), media_type="text/event-stream", headers=_FRESH)


async def _events(
    look: Callable[[], Awaitable[Mapping[str, str]]], ending: asyncio.Event
) -> AsyncIterator[str]:
    shown: Mapping[str, str] = {}
    ends = time.monotonic() + LASTS
    yield "retry: 1000\n\n"
    while time.monotonic() < ends:
        try:
            now = await look()
        except aio.AioRpcError:
            return
        changed = "".join(html for name, html in now.items() if shown.get(name) != html)
        if changed:
            yield "".join(f"data: {line}\n" for line in changed.splitlines()) + "\n"
        shown = now
        if await set_within(ending, EVERY):
            return
