"""Chargers that are just there, and all of them coming back at once."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import ROUNDS, Figure, alone, at_least, at_most, compared
from benchmarks.load.chargers import Chargers
from benchmarks.load.running import gateway, running, settle

CHARGERS = 10_000
KIB = 1024
IDLE_ROUNDS = 2


def figures() -> Iterator[Figure]:
    """Measure with ten thousand chargers, each time at servers that have just started."""
    storms: list[tuple[float, float]] = []
    failed = 0
    memory: list[float] = []
    for number in range(ROUNDS):
        if number % 2:
            bare = _accepted()
            came, lost = _came(memory)
        else:
            came, lost = _came(memory)
            bare = _accepted()
        storms.append((came, bare))
        failed += lost
    yield compared(
        f"reconnect storm, {CHARGERS:,} chargers: signed in and booted",
        storms,
        unit="1/s",
        against="TCP accept",
        goal=at_least(0.3),
    )
    yield alone("... of these failed, in all rounds", [float(failed)], unit="", goal=at_most(0))
    yield alone(
        f"an idle charger's connection, of {CHARGERS:,}", memory, unit="KiB", goal=at_most(16)
    )


def _came(memory: list[float]) -> tuple[float, int]:
    """Return how many came in a second, and how many did not come in.

    Twice, `memory` gets the KiB that each then takes: what follows from their coming takes longer
    than all the rest of this.
    """
    with gateway(any_rate=False) as server, Chargers(server.port, CHARGERS) as chargers:
        before = server.memory
        took = chargers.connect()
        if len(memory) < IDLE_ROUNDS:
            settle(server, chargers)
            memory.append((server.memory - before) / KIB / CHARGERS)
        return CHARGERS / took, chargers.failed


def _accepted() -> float:
    with running("echo") as server, Chargers(server.port, CHARGERS, speak=False) as chargers:
        return CHARGERS / chargers.connect()
