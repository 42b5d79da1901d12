"""Ctrl-C and SIGTERM: end what runs, once, and let it end in order."""

from __future__ import annotations

import asyncio
import signal
from types import TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptible:
    """Ends its block at the first signal, and lets what comes after the block go on.

    The block is cancelled where it waits; further signals do not disturb what it
    closes on its way out. For the event loop's main thread.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        for each in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(each, self._interrupt)

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> bool:
        for each in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(each)
        if not self._interrupted or self._task is None:
            return False
        if kind is None:
            return False
        self._task.uncancel()
        return kind is asyncio.CancelledError

    def _interrupt(self) -> None:
        if not self._interrupted and self._task is not None:
            self._interrupted = True
            self._task.cancel()
