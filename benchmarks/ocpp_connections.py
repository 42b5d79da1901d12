"""Chargers that are just there, and all of them coming back at once."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import ROUNDS, Figure, alone, at_least, at_most, compared
from benchmarks.load.chargers import Chargers
from benchmarks.load.running import gateway, running, settle

COMING, IDLE = 10_000, 15_000
IDLE_ROUNDS = 2
KIB = 1024


def figures() -> Iterator[Figure]:
    """Measure with chargers by the ten thousand, each time at servers that have just started."""
    storms: list[tuple[float, float]] = []
    failed = 0
    for number in range(ROUNDS):
        if number % 2:
            bare = _accepted()
            came, lost = _came()
        else:
            came, lost = _came()
            bare = _accepted()
        storms.append((came, bare))
        failed += lost
    yield compared(
        f"reconnect storm, {COMING:,} chargers: signed in and booted",
        storms,
        unit="1/s",
        against="TCP accept",
        goal=at_least(0.3),
    )
    yield alone("... of these failed, in all rounds", [float(failed)], unit="", goal=at_most(0))
    yield alone(
        f"an idle charger's connection, of {IDLE:,}",
        [_took() for _ in range(IDLE_ROUNDS)],
        unit="KiB",
        goal=at_most(16),
    )


def _came() -> tuple[float, int]:
    """Return how many came in a second, and how many did not come in."""
    with gateway(any_rate=False) as server, Chargers(server.port, COMING) as chargers:
        return COMING / chargers.connect(), chargers.failed


def _accepted() -> float:
    with running("echo") as server, Chargers(server.port, COMING, speak=False) as chargers:
        return COMING / chargers.connect()


def _took() -> float:
    """Return the KiB that each takes, once all that follows from their coming is done."""
    with gateway(any_rate=False) as server, Chargers(server.port, IDLE) as chargers:
        before = server.memory
        chargers.connect()
        if chargers.failed:
            message = f"{chargers.failed} chargers could not connect"
            raise AssertionError(message)
        settle(server, chargers)
        return (server.memory - before) / KIB / IDLE
