"""Gateways on one port: what two answer for the CPU that they take, and who has whom.

The load shares two cores with them, so two gateways cannot be seen to answer twice as much here.
What can be seen is whether an answer of two costs more CPU than an answer of one that has as much
to do as either of them: if not, each further core answers as much as the first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Self

from benchmarks.figures import Figure, alone, at_least, compared, in_turn
from benchmarks.load.chargers import Chargers
from benchmarks.load.running import LOOK, Running, gateways, settle

EACH = 200  # chargers a gateway
RATE = 5_000  # calls a second and gateway
SECONDS = 2.0
MANY = 1_000
ROUNDS = 7  # CPU is counted in hundredths of a second
DRAWS = 5
GONE_WITHIN = 30.0


def figures() -> Iterator[Figure]:
    """Measure two gateways beside one."""
    with gateways(1, any_rate=True) as one, gateways(2, any_rate=True) as two:
        with _Load(one, EACH) as at_one, _Load(two, 2 * EACH) as at_both:
            yield compared(
                "Authorize at two gateways on one port: calls a second of their CPU",
                in_turn(at_both.for_cpu, at_one.for_cpu, rounds=ROUNDS),
                unit="1/cpu s",
                against=f"one gateway; {RATE:,} calls/s and {EACH} chargers for each gateway",
                goal=at_least(0.9),
            )
        with _Load(one, 2 * EACH) as at_one, _Load(two, 2 * EACH) as at_both:
            yield compared(
                f"... throughput where they and the load share {os.cpu_count()} cores",
                in_turn(at_both.for_time, at_one.for_time),
                unit="1/s",
                against=f"one gateway there, the same {2 * EACH} chargers",
            )
        yield alone(
            f"... share of the one that has more, of {MANY:,} chargers",
            [_share_of_the_busier(two) for _ in range(DRAWS)],
            unit="%",
            against="each time connected anew",
        )


class _Load:
    """So many chargers at gateways that share a port."""

    def __init__(self, servers: Sequence[Running], number: int) -> None:
        self._servers = servers
        self._chargers = Chargers(servers[0].port, number)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._chargers)
        _connect(self._chargers)
        for server in self._servers:
            settle(server, self._chargers)
        self._chargers.tap(SECONDS / 2)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def for_cpu(self) -> float:
        """Return how many calls all answer for a second of a core, at RATE for each of them."""
        before = self._cpu
        took = self._chargers.tap_at(RATE * len(self._servers), SECONDS)
        return len(took) / (self._cpu - before)

    def for_time(self) -> float:
        """Return how many calls all answer in a second, as many as are asked."""
        taps = self._chargers.tap(SECONDS)
        return taps.number / taps.seconds

    @property
    def _cpu(self) -> float:
        return sum(server.cpu for server in self._servers)


def _connect(chargers: Chargers) -> None:
    chargers.connect()
    if chargers.failed:
        message = f"{chargers.failed} chargers could not connect"
        raise AssertionError(message)


def _share_of_the_busier(servers: Sequence[Running]) -> float:
    """Return the percentage of chargers that come to the one that most of them come to."""
    before = [server.open_files for server in servers]
    with Chargers(servers[0].port, MANY) as chargers:
        _connect(chargers)
        came = [server.open_files - had for server, had in zip(servers, before, strict=True)]
        for server in servers:
            settle(server, chargers)
    until = time.monotonic() + GONE_WITHIN
    while any(server.open_files > had for server, had in zip(servers, before, strict=True)):
        if time.monotonic() > until:
            message = "chargers that have gone are still there"
            raise TimeoutError(message)
        time.sleep(LOOK)
    return max(came) / sum(came) * 100
