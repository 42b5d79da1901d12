"""What a view takes of memory, identification by identification."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from benchmarks.apart import apart
from benchmarks.figures import ROUNDS, Figure, at_most, compared
from benchmarks.population import Population
from chargekey_common.keyed_ids import KeyedId
from chargekey_gateway.view.entries import Identification, User
from chargekey_gateway.view.people import People
from chargekey_gateway.view.view import View

NUMBER = 1_000_000
POPULATION = Population.of(NUMBER)


def figures() -> Iterator[Figure]:
    """Measure a million identifications, each time in a process of its own."""
    keys = [apart(_keys) for _ in range(ROUNDS)]
    found = [apart(_found) for _ in range(ROUNDS)]
    whole = [apart(_whole) for _ in range(ROUNDS)]
    yield compared(
        "memory an identification: what a decision finds by its keyed id",
        list(zip(found, keys, strict=True)),
        unit="B",
        against="keys-only dict",
        goal=at_most(1.7),
    )
    yield compared(
        "memory an identification: all that is known of it",
        list(zip(whole, keys, strict=True)),
        unit="B",
        against="keys-only dict",
    )


def _keys() -> float:
    before = _memory()
    keys = dict.fromkeys(POPULATION.keyed_id(number) for number in range(NUMBER))
    return (_memory() - before) / len(keys)


def _found() -> float:
    """Return what the table by keyed ids and its entries take, users and names aside."""
    people = People(View().installation)
    people.apply(next(added for _, added in Population.of(1).cards()))
    [first] = people.identifications.values()
    user, terms = User("somebody"), first.terms
    before = _memory()
    found: dict[KeyedId, Identification] = {}
    for number in range(NUMBER):
        keyed_id = POPULATION.keyed_id(number)
        found[keyed_id] = Identification("card", user, "RFID", terms, keyed_id)
    return (_memory() - before) / len(found)


def _whole() -> float:
    """Return what identifications take of a view that knows everything else already."""
    view = View()
    for event in POPULATION.access_events():
        view.apply(event)
    before = _memory()
    for event in POPULATION.identity_events():
        view.apply(event)
    return (_memory() - before) / NUMBER


def _memory() -> int:
    return int(psutil.Process().memory_full_info().uss)
