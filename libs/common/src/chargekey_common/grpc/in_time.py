"""A limit to how long work may take that mostly waits for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_time(work: Coroutine[Any, Any, Result], seconds: Callable[[], float]) -> Result:
    """Return what `work` does; raises TimeoutError where it waits for longer than `seconds`.

    They are asked for, and a timer is set, when it first waits: what never does is spared both,
    which cost more than looking somebody up.
    """
    try:
        waited_for = work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    async with asyncio.timeout(seconds()):
        return await _rest(work, waited_for)


@coroutine
def _rest(work: Coroutine[Any, Any, Result], waited_for: object) -> Generator[Any, Any, Result]:
    """Go on with work that waits for something already."""
    go_on: Callable[[Any], Any]
    while True:
        try:
            heard = yield waited_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it is the work's to handle
            go_on, what = work.throw, error
        else:
            go_on, what = work.send, heard
        try:
            waited_for = go_on(what)
        except StopIteration as done:
            result: Result = done.value
            return result
