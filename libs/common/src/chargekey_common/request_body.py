"""What a client sends with a request, for no longer and no more than it may."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request


class BodyTooLongError(Exception):
    """More comes than may."""


class BodyTooSlowError(Exception):
    """It has not come whole in time, or whoever sent it is gone."""


async def request_body(request: Request, *, longest: int, within: float) -> bytes:
    """Return the body, of up to `longest` bytes, that comes `within` so many seconds.

    Raises BodyTooLongError as soon as there is more, and BodyTooSlowError.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(within):
            async for chunk in request.stream():
                body += chunk
                if len(body) > longest:
                    raise BodyTooLongError
    except (TimeoutError, ClientDisconnect):
        raise BodyTooSlowError from None
    return bytes(body)
