"""One page of a list, as a person asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any


async def newest(
    call: Callable[[Any], Awaitable[Any]],
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
