"""Chargers in a process of their own: one with those of two servers has too many open files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Self, TypeVar

from benchmarks.load.chargers import Chargers, Taps

Told = TypeVar("Told")

# Those of this process, where it has been started for them.
_here: list[Chargers] = []


class ChargersApart:
    """`Chargers` in another process, which sleeps while nothing is asked of them.

    What they raise there is raised here.
    """

    def __init__(self, port: int, number: int, *, speak: bool = True) -> None:
        """Have them as `Chargers` are had."""
        self._process = ProcessPoolExecutor(
            1,
            mp_context=get_context("spawn"),
            initializer=_have,
            initargs=(partial(Chargers, port, number, speak=speak),),
        )

    def __enter__(self) -> Self:
        """Return them, not connected yet."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Have all of them go, with their process."""
        self._process.shutdown()

    @property
    def failed(self) -> int:
        """How many could not connect, or have lost their connection."""
        return self._let(_failed)

    def connect(self) -> float:
        """Do as `Chargers.connect`."""
        return self._let(Chargers.connect)

    def listen(self, seconds: float) -> None:
        """Do as `Chargers.listen`."""
        self._let(partial(Chargers.listen, seconds=seconds))

    def tap(self, seconds: float) -> Taps:
        """Do as `Chargers.tap`."""
        return self._let(partial(Chargers.tap, seconds=seconds))

    def tap_at(self, rate: float, seconds: float) -> Sequence[float]:
        """Do as `Chargers.tap_at`."""
        return self._let(partial(Chargers.tap_at, rate=rate, seconds=seconds))

    def _let(self, do: Callable[[Chargers], Told]) -> Told:
        return self._process.submit(_done, do).result()


def _have(chargers: Callable[[], Chargers]) -> None:
    _here.append(chargers())


def _done(do: Callable[[Chargers], Told]) -> Told:
    [chargers] = _here
    return do(chargers)


def _failed(chargers: Chargers) -> int:
    return chargers.failed
