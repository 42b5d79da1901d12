"""Ctrl-C, SIGTERM, a terminal that is closed: end what runs, once, and let it end in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptible:
    """Ends its block at the first signal, and lets what comes after the block go on.

    The block is cancelled where it waits; further signals do not disturb what it
    closes on its way out. Where `nohup` has made SIGHUP ignored, it stays so. For the
    event loop's main thread.
    """

    def __init__(self, on_signal: Callable[[], None] = lambda: None) -> None:
        """Call `on_signal` at the first signal."""
        self._on_signal = on_signal
        self._signals: list[signal.Signals] = []
        self._interrupted = False
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._signals = [each for each in SIGNALS if each != signal.SIGHUP or not ignored]
        for each in self._signals:
            asyncio.get_running_loop().add_signal_handler(each, self._interrupt)

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> bool:
        for each in self._signals:
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
            self._on_signal()
