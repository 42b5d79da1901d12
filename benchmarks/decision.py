"""A decision with its reason, in memory, against a bare `dict.get` of the same keys."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter_ns

from benchmarks.figures import ROUNDS, Figure, alone, at_most, compared, in_turn
from benchmarks.population import KEYED_IDS, Population
from benchmarks.views import filled
from chargekey_common.keyed_ids import KeyedId
from chargekey_gateway.decision import accept_at_once
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

TAPS = 200_000
LARGE = 1_000_000
AT = 1_700_000_000_000_000_000

Tap = tuple[Charger, str, KeyedId]


def figures() -> Iterator[Figure]:
    """Measure with 20 thousand identifications and with a million."""
    for number, goal, with_keyed_id in ((20_000, 3.5, 8.5), (LARGE, 2.2, 2.9)):
        population = Population.of(number)
        view = filled(population)
        taps = _taps(population, view)
        bare = dict.fromkeys(population.keyed_id(each) for each in range(number))
        size = f"{number:,} identifications"
        yield compared(
            f"decision with reason, {size}",
            in_turn(partial(_decided, view, taps), partial(_got, bare, taps)),
            unit="ns",
            against="dict.get",
            goal=at_most(goal),
        )
        yield compared(
            f"the same from the card's number, {size}",
            in_turn(partial(_decided_token, view, taps), partial(_got, bare, taps)),
            unit="ns",
            against="dict.get",
            goal=at_most(with_keyed_id),
        )
        if number == LARGE:
            yield alone(
                f"a decision's p99 / p50, {size}",
                [_spread(view, taps) for _ in range(ROUNDS)],
                unit="x",
                goal=at_most(5),
            )


def where_known(population: Population) -> Callable[[], tuple[float, float]]:
    """Return what measures the nanoseconds that a decision takes there, and a bare `dict.get`."""
    view = filled(population)
    taps = _taps(population, view)
    bare = dict.fromkeys(population.keyed_id(each) for each in range(population.identifications))
    return lambda: (_decided(view, taps), _got(bare, taps))


def _taps(population: Population, view: View) -> Sequence[Tap]:
    """Return taps of people who may charge where they tap, in no order."""
    chance = random.Random(9)
    tapped = [chance.randrange(population.identifications) for _ in range(TAPS)]
    return [
        (
            _charger(view, population.charger_id(population.charger_of(each))),
            population.card(each),
            # Another object than the view's, as one that was just worked out is.
            KeyedId(bytes(bytearray(population.keyed_id(each)))),
        )
        for each in tapped
    ]


def _charger(view: View, charger_id: str) -> Charger:
    charger = view.charger(charger_id)
    if charger is None:
        raise LookupError(charger_id)
    return charger


def _decided(view: View, taps: Sequence[Tap]) -> float:
    """Return how many nanoseconds one takes, from the keyed id on."""
    find = view.identification
    refused = 0
    began = perf_counter_ns()
    for charger, _, keyed_id in taps:
        known = find(keyed_id)
        if known is None or accept_at_once(charger, known, AT) is None:
            refused += 1
    took = perf_counter_ns() - began
    return _each(took, taps, refused)


def _decided_token(view: View, taps: Sequence[Tap]) -> float:
    """Return how many nanoseconds one takes, from what the charger sends on."""
    look_up = Lookup(view, KEYED_IDS)
    refused = 0
    began = perf_counter_ns()
    for charger, token, _ in taps:
        known = look_up(charger, token).identification
        if known is None or accept_at_once(charger, known, AT) is None:
            refused += 1
    took = perf_counter_ns() - began
    return _each(took, taps, refused)


def _got(bare: Mapping[KeyedId, object], taps: Sequence[Tap]) -> float:
    get = bare.get
    began = perf_counter_ns()
    for _, _, keyed_id in taps:
        get(keyed_id)
    return _each(perf_counter_ns() - began, taps, refused=0)


def _each(took: int, taps: Sequence[Tap], refused: int) -> float:
    if refused:
        message = f"{refused} were refused who may charge"
        raise AssertionError(message)
    return took / len(taps)


def _spread(view: View, taps: Sequence[Tap]) -> float:
    """Return p99 / p50 of decisions timed one by one."""
    find = view.identification
    times = []
    for charger, _, keyed_id in taps:
        began = perf_counter_ns()
        known = find(keyed_id)
        if known is not None:
            accept_at_once(charger, known, AT)
        times.append(perf_counter_ns() - began)
    times.sort()
    return times[len(times) * 99 // 100] / statistics.median_low(times)
