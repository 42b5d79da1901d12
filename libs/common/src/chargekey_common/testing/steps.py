"""How much work an answer is, without a clock: the same on every machine, however busy it is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def steps(ask: Callable[[], Coroutine[Any, Any, object]]) -> int:
    """Return how many lines of Python ran until it was answered.

    A loop counts each time around, also one that stands on a line. What goes to a thread
    otherwise runs in this one.
    """
    taken = 0

    def trace(_: FrameType, event: str, __: object) -> Any:  # noqa: ANN401 - itself
        nonlocal taken
        taken += event == "line"
        return trace

    async def answered() -> None:
        asyncio.get_running_loop().set_default_executor(_Here())
        await ask()

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        asyncio.run(answered())
    finally:
        sys.settrace(before)
    return taken


class _Here(ThreadPoolExecutor):
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
