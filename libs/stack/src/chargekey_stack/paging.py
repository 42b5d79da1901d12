"""Lists as services tell them, in pages, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any


async def every(
    call: Callable[[Any], Awaitable[Any]],
    request: Any,  # noqa: ANN401 - any list's
    entries: str,
    most: int | None = None,
) -> list[Any]:
    """Return all the `entries` of all the pages of an answer, or the first `most` of them."""
    found: list[Any] = []
    while True:
        if most is not None:
            request.page_size = most - len(found)
        answer = await call(request)
        found += getattr(answer, entries)
        request.page_token = answer.next_page_token
        if not request.page_token or len(found) == most:
            return found
