"""Lists as services tell them, in pages, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Call: TypeAlias = Callable[[Any], Awaitable[Any]]


async def every(
    call: Call,
    request: Any,  # noqa: ANN401 - any list's
    entries: str,
) -> list[Any]:
    """Return all the `entries` of all the pages of an answer."""
    found: list[Any] = []
    while True:
        answer = await call(request)
        found += getattr(answer, entries)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found


async def newest(
    call: Call,
    request: Any,  # noqa: ANN401 - any list's
    entries: str,
    most: int,
) -> tuple[list[Any], str]:
    """Return one page of at most `most`, and the cursor of the next; empty at the end.

    `most` is no more than a page may have.
    """
    request.page_size = most
    answer = await call(request)
    return list(getattr(answer, entries)), answer.next_page_token
