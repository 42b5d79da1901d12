"""Telling a story step by step: each is timed, and each must go as told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec

from chargekey_stack.answers import Tell
from chargekey_stack.errors import DemoDifferedError
from chargekey_stack.progress import working

PATIENCE = 10.0
POLL = 0.02
WIDTH = 74

Result = TypeVar("Result")


class Step(msgspec.Struct, frozen=True):
    """One step that went as told."""

    step: str
    milliseconds: float


class Story:
    """The steps so far; `tell` is given a line for each, `shown` while it goes on, too."""

    def __init__(self, tell: Tell, *, shown: bool) -> None:
        self.steps: list[Step] = []
        self.tell = tell
        self._shown = shown

    @contextlib.contextmanager
    def step(self, sentence: str) -> Iterator[None]:
        """Time the block and tell the step, or tell that it failed and let the error go on."""
        began = time.perf_counter()
        try:
            with working(sentence, shown=self._shown):
                yield
        except Exception:
            self.tell(f"  ✗ {sentence}")
            raise
        milliseconds = (time.perf_counter() - began) * 1000
        self.steps.append(Step(sentence, round(milliseconds, 1)))
        self.tell(f"  ✓ {sentence:<{WIDTH}} {milliseconds:7.1f} ms")


def expect(what: str, actual: object, wanted: object) -> None:
    """Raise DemoDifferedError unless `actual` is as wanted."""
    if actual != wanted:
        difference = f"{what} should be {wanted!r} and is {actual!r}."
        raise DemoDifferedError(difference)


async def eventually(
    what: str, look: Callable[[], Awaitable[Result]], enough: Callable[[Result], object]
) -> Result:
    """Look again and again until it is enough; raises DemoDifferedError after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = await look()
        if enough(seen):
            return seen
        if time.monotonic() > deadline:
            difference = f"{what} did not come within {PATIENCE:g} s."
            raise DemoDifferedError(difference)
        await asyncio.sleep(POLL)
