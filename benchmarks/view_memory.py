"""What a gateway's memory takes: of the view, and of the sessions of all gateways."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from uuid import UUID

import psutil

from benchmarks.apart import apart
from benchmarks.figures import ROUNDS, Figure, alone, at_most, compared
from benchmarks.population import Population
from chargekey_common.keyed_ids import KeyedId
from chargekey_common.published.sessions import Inputs, SessionStarted
from chargekey_gateway.decision import Reason
from chargekey_gateway.sessions.running import Lock, RunningSessions
from chargekey_gateway.view.entries import Identification, User
from chargekey_gateway.view.people import People
from chargekey_gateway.view.view import View

NUMBER = 1_000_000
POPULATION = Population.of(NUMBER)
# A view takes its time, and the same memory each time.
ROUNDS_OF_ALL = 2
CHARGERS = 100_000
SESSIONS = 100_000


def figures() -> Iterator[Figure]:
    """Measure a million identifications, each time in a process of its own."""
    keys = [apart(_keys) for _ in range(ROUNDS)]
    found = [apart(_found) for _ in range(ROUNDS)]
    yield compared(
        "memory an identification: what a decision finds by its keyed id",
        list(zip(found, keys, strict=True)),
        unit="B",
        against="keys-only dict",
        goal=at_most(1.7),
    )
    views = [apart(_view) for _ in range(ROUNDS_OF_ALL)]
    yield compared(
        "memory an identification: all that is known of it",
        [(identification, key) for (_, identification), key in zip(views, keys, strict=False)],
        unit="B",
        against="keys-only dict",
    )
    for what, rounds, against in (
        ("memory a user with a permission", [user for user, _ in views], "a view of 500,000"),
        ("memory a charger, a tenth of a site", _rounds(_chargers), "a view of 100,000"),
        ("memory a lock that was ever held", _rounds(_locks), "1,000,000, each told once"),
        ("memory a running session", _rounds(_sessions), "100,000 that began"),
    ):
        yield alone(what, rounds, unit="B", against=against)


def _rounds(measure: Callable[[], float]) -> list[float]:
    return [apart(measure) for _ in range(ROUNDS_OF_ALL)]


def _keys() -> float:
    before = _memory()
    keys = dict.fromkeys(POPULATION.keyed_id(number) for number in range(NUMBER))
    return (_memory() - before) / len(keys)


def _found() -> float:
    """Return what the table by keyed ids and its entries take, users and names aside."""
    people = People(View().installation)
    added = next(added for _, added in Population.of(1).cards())
    people.applied[type(added)](added)
    [first] = people.identifications.values()
    user, terms = User("somebody"), first.terms
    before = _memory()
    found: dict[KeyedId, Identification] = {}
    for number in range(NUMBER):
        keyed_id = POPULATION.keyed_id(number)
        found[keyed_id] = Identification("card", user, terms, keyed_id)
    return (_memory() - before) / len(found)


def _view() -> tuple[float, float]:
    """Return what each user takes with his permission, and each identification beside these."""
    gc.disable()
    view = View()
    before = _memory()
    for event in POPULATION.access_events():
        view.apply(event)
    users = _memory()
    for event in POPULATION.identity_events():
        view.apply(event)
    return (users - before) / POPULATION.users, (_memory() - users) / NUMBER


def _chargers() -> float:
    view = View()
    before = _memory()
    for event in Population.of(1, chargers=CHARGERS).access_events():
        view.apply(event)
    return (_memory() - before) / CHARGERS


def _locks() -> float:
    running = RunningSessions()
    before = _memory()
    for number in range(NUMBER):
        running.locked(POPULATION.identification_id(number), Lock(number + 1, held=False))
    return (_memory() - before) / NUMBER


def _sessions() -> float:
    running = RunningSessions()
    before = _memory()
    for number in range(SESSIONS):
        running.started(number + 1, _started(number), str(UUID(int=number)))
    return (_memory() - before) / SESSIONS


def _started(number: int) -> SessionStarted:
    user_id = POPULATION.user_id(number)
    identification_id = POPULATION.identification_id(number)
    return SessionStarted(
        installation_id=POPULATION.installation_id(number),
        charger_id=POPULATION.charger_id(number),
        session_id=str(UUID(int=number)),
        connector=1,
        started_at=number,
        meter_start=number,
        status="Accepted",
        reason=Reason.CHARGER_PERMISSION,
        inputs=Inputs(at=number, user_id=user_id, identification_id=identification_id),
        user_id=user_id,
        identification_id=identification_id,
    )


def _memory() -> int:
    return int(psutil.Process().memory_full_info().uss)
