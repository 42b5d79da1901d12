"""A simulated charger beside a test that is not asynchronous, as those of pages are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

from chargekey_stack.simulator import ACCEPTED, SimulatedCharger, simulated_charger

from .running_system import RunningSystem

T = TypeVar("T")
# Seconds for whatever a charger is to do.
PATIENCE = 30


class ACharger:
    """A charger that is there, and does what it is told by `does`."""

    def __init__(self, charger: SimulatedCharger, ending: asyncio.Event) -> None:
        self._charger = charger
        self._ending = ending
        self._loop = asyncio.get_running_loop()

    def does(self, what: Callable[[SimulatedCharger], Awaitable[T]]) -> T:
        """Return what comes of it."""

        async def done() -> T:
            return await what(self._charger)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(PATIENCE)

    def becomes(self, code: str, status: str) -> None:
        """Present a card until it is answered so: what was done elsewhere takes a moment."""
        deadline = time.monotonic() + PATIENCE
        while (said := self.does(lambda it: it.authorize(code))) != status:
            assert time.monotonic() < deadline, said
            time.sleep(0.05)  # whoever taps as fast as he can is sent away before long

    def charges(self, code: str, watt_hours: int = 0) -> None:
        """Begin and end a session with it, in which its meter counts so many and a few more."""

        async def session(charger: SimulatedCharger) -> None:
            assert (await charger.start(code)).status == ACCEPTED
            charger.meter += watt_hours
            await charger.stop()

        self.does(session)

    def leave(self) -> None:
        """Let it be gone soon."""
        self._loop.call_soon_threadsafe(self._ending.set)


@contextmanager
def a_charger(system: RunningSystem, identity: str, password: str) -> Iterator[ACharger]:
    """Yield it once it has booted, in a thread of its own."""
    booted: Future[ACharger] = Future()

    async def be_there() -> None:
        ending = asyncio.Event()
        try:
            async with simulated_charger(system.ready["ocpp"], identity, password) as charger:
                await charger.boot()
                booted.set_result(ACharger(charger, ending))
                await ending.wait()
        except Exception as error:
            if booted.done():
                raise
            booted.set_exception(error)

    thread = Thread(target=lambda: asyncio.run(be_there()))
    thread.start()
    try:
        charger = booted.result(PATIENCE)
        try:
            yield charger
        finally:
            charger.leave()
    finally:
        thread.join()


def added_charger(system: RunningSystem, installation: str, identity: str) -> str:
    """Add a charger, and return its password once the gateway knows it."""
    added = system.chargekey(
        *("charger", "add", "--installation", installation, "--ocpp-identity", identity)
    )
    system.chargekey(
        *("authorize", "--charger", identity, "--code", "#0000"),
        *("--at-least", added["position"]),
    )
    password: str = added["password"]
    return password
