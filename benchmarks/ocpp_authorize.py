"""Authorize over OCPP 1.6: what it costs the gateway, and how soon it is answered."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

from benchmarks.figures import Figure, at_least, at_most, compared, in_turn
from benchmarks.load.chargers_apart import ChargersApart
from benchmarks.load.running import Running, gateway, running, settle

SECONDS = 1.0
RATE = 5_000  # calls a second
FEW, SOME, MANY = 200, 5_000, 10_000


def figures() -> Iterator[Figure]:
    """Measure beside a TCP echo under the same load, and beside what is commonly built."""
    with gateway(any_rate=True) as ours, running("echo") as echo, running("peer") as peer:
        for number in (1, FEW, SOME, MANY):
            with _Beside(ours, echo, number) as beside:
                rounds = in_turn(beside.cost(ours), beside.cost(echo))
                yield compared(
                    f"Authorize over OCPP, {number:,} connections: server CPU",
                    rounds,
                    unit="us",
                    against=f"TCP echo; the load was busy for {beside.busy}",
                    goal=at_most(1.35) if number == FEW else None,
                )
                if number == SOME:
                    yield compared(
                        f"... p99 at {RATE:,} calls/s, {number:,} connections",
                        in_turn(beside.p99(ours), beside.p99(echo)),
                        unit="us",
                        against="TCP echo",
                        goal=at_most(1.5),
                    )
        with _Beside(ours, peer, FEW, speaks=True) as beside:
            yield compared(
                f"... throughput, {FEW} connections",
                in_turn(beside.rate(ours), beside.rate(peer)),
                unit="1/s",
                against=f"ocpp on websockets; the load was busy for {beside.busy}",
                goal=at_least(14),
            )


class _Beside:
    """The same load at two servers, the one by turns with the other."""

    def __init__(self, ours: Running, other: Running, number: int, *, speaks: bool = False) -> None:
        self._servers = {
            ours: ChargersApart(ours.port, number),
            other: ChargersApart(other.port, number, speak=speaks),
        }
        self._busy: dict[Running, list[float]] = {ours: [], other: []}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for server, chargers in self._servers.items():
            self._stack.enter_context(chargers)
            chargers.connect()
            if chargers.failed:
                message = f"{chargers.failed} chargers could not connect"
                raise AssertionError(message)
            settle(server, chargers)
            chargers.tap(SECONDS / 2)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @property
    def busy(self) -> str:
        """For what share of the time the load had work, at the one and the other."""
        return " and ".join(f"{statistics.median(each):.0%}" for each in self._busy.values())

    def cost(self, server: Running) -> Callable[[], float]:
        """Return what measures the microseconds of CPU that a call takes there."""

        def measure() -> float:
            before = server.cpu
            taps = self._servers[server].tap(SECONDS)
            self._busy[server].append(taps.busy)
            return (server.cpu - before) / taps.number * 1e6

        return measure

    def rate(self, server: Running) -> Callable[[], float]:
        """Return what measures how many calls are answered in a second."""

        def measure() -> float:
            taps = self._servers[server].tap(SECONDS)
            self._busy[server].append(taps.busy)
            return taps.number / taps.seconds

        return measure

    def p99(self, server: Running) -> Callable[[], float]:
        """Return what measures within how many microseconds 99 of 100 calls are answered."""

        def measure() -> float:
            took = self._servers[server].tap_at(RATE, SECONDS * 2)
            return took[len(took) * 99 // 100] * 1e6

        return measure
