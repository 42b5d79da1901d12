"""How far the view is in each service's events, and who waits for it to be further."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterable

from chargekey_common.positions import Position
from chargekey_gateway.view.errors import (
    PositionOfAnotherGenerationError,
    PositionOfUnknownServiceError,
    ViewBehindError,
)


class Progress:
    """The position of the last event applied of each of `services`."""

    def __init__(self, services: Iterable[str]) -> None:
        self.positions: dict[str, Position] = {}
        self._told: tuple[tuple[Position, ...], tuple[str, ...]] = ((), ())
        self._tie = itertools.count()
        self._waiting: dict[str, list[tuple[int, int, Position, asyncio.Future[None]]]] = {
            service: [] for service in services
        }

    @property
    def waiting(self) -> int:
        """How many positions are waited for right now."""
        return sum(map(len, self._waiting.values()))

    @property
    def texts(self) -> tuple[str, ...]:
        """The positions as opaque strings, in the order of the services' names."""
        now = tuple(self.positions.values())
        if self._told[0] != now:  # each decision asks; events come in bursts
            told = sorted(self.positions.items())
            self._told = now, tuple(str(position) for _, position in told)
        return self._told[1]

    def advance(self, position: Position) -> None:
        """Be at `position`; wakes those whose wait is over, each once."""
        known = self.positions.get(position.service)
        self.positions[position.service] = position
        waiting = self._waiting[position.service]
        if not waiting:
            return
        if known is None or known.generation != position.generation:
            self._refuse_strangers(position)
        while waiting and waiting[0][0] <= position.number:
            _, _, _, future = heapq.heappop(waiting)
            if not future.done():
                future.set_result(None)

    def forget(self, service: str) -> None:
        """Be nowhere in the events of `service`; who waits goes on waiting."""
        self.positions.pop(service, None)

    async def wait_for(self, positions: Iterable[Position], within: float) -> None:
        """Return once all of `positions` are included; at once where they are already.

        Waits at most `within` seconds in all. Raises `ViewBehindError`,
        `PositionOfAnotherGenerationError` or `PositionOfUnknownServiceError`.
        """
        missing = [position for position in positions if not self._includes(position)]
        if not missing:
            return
        try:
            async with asyncio.timeout(within):
                for position in missing:
                    await self._reach(position)
        except TimeoutError:
            raise ViewBehindError from None

    def _includes(self, position: Position) -> bool:
        if position.service not in self._waiting:
            raise PositionOfUnknownServiceError
        known = self.positions.get(position.service)
        if known is None:
            return False
        if known.generation != position.generation:
            raise PositionOfAnotherGenerationError
        return known.number >= position.number

    async def _reach(self, position: Position) -> None:
        if self._includes(position):  # it may have while another one was waited for
            return
        future = asyncio.get_running_loop().create_future()
        entry = (position.number, next(self._tie), position, future)
        heapq.heappush(self._waiting[position.service], entry)
        try:
            await future
        finally:
            if future.cancelled() and entry in self._waiting[position.service]:
                self._waiting[position.service].remove(entry)
                heapq.heapify(self._waiting[position.service])

    def _refuse_strangers(self, position: Position) -> None:
        waiting = self._waiting[position.service]
        staying = []
        for entry in waiting:
            _, _, wanted, future = entry
            if wanted.generation == position.generation:
                staying.append(entry)
            elif not future.done():
                future.set_exception(PositionOfAnotherGenerationError())
        heapq.heapify(staying)
        waiting[:] = staying
