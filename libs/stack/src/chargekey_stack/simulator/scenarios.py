"""What happens in a scenario: a list of steps, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Literal

import msgspec

from chargekey_stack.simulator.population import Person, Population

Scenario = Literal["morning", "storm", "idle"]

# Chargers that connect in one second.
CONNECTS_A_SECOND = 50.0
# R14: so many failures lock an installation's PINs, which would be another scenario.
MOST_WRONG_PINS = 20


class Action(StrEnum):
    """What is done at a charger."""

    CONNECT = "connect"
    PLUG_IN = "plug in"
    PRESENT = "present"  # and start, where accepted
    REPEAT_START = "repeat start"
    LOSE_CONNECTION = "lose connection"
    COME_BACK = "come back"
    CUT = "cut"  # it opens the connection again by itself
    BLOCK = "block"  # whoever charges
    LEAVE = "leave"


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happens `at` so many seconds. `presents` is a code; `may`: it opens.

    `person` whose code it is, if it is anybody's.
    """

    at: float
    charger: int
    action: Action
    presents: str = ""
    may: bool = False
    person: Person | None = None

    def __repr__(self) -> str:
        """Show no code."""
        return f"Step({self.at}, {self.charger}, {self.action})"


def plan(
    scenario: Scenario,
    *,
    chargers: int,
    duration: float,
    seed: int,
    rate: float | None = None,
) -> tuple[Step, ...]:
    """Return the steps of a scenario in their order; those of one charger never overlap.

    `rate`: people who arrive in a second; without one, about one a charger comes.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    connecting = min(duration / 5, chargers / CONNECTS_A_SECOND)
    steps = [
        Step(round(connecting * number / chargers, 3), number, Action.CONNECT)
        for number in range(chargers)
    ]
    match scenario:
        case "morning":
            steps += _morning(chance, Population.of(chargers), connecting, duration, rate)
        case "storm":
            steps += _storm(Population.of(chargers), connecting, duration)
        case "idle":
            pass
    return tuple(sorted(steps, key=lambda each: (each.at, each.charger)))


def _morning(
    chance: random.Random,
    people: Population,
    begins: float,
    duration: float,
    rate: float | None,
) -> Iterator[Step]:
    """People arrive during the first two thirds, and all have left before the end."""
    arriving = duration * 2 / 3 - begins
    count = len(people.residents) if rate is None else max(1, round(rate * arriving))
    arrivals = sorted(begins + chance.uniform(0, arriving) for _ in range(count))
    # The one whose turn it is to be blocked, the sooner the longer it can be watched.
    suspects = list(people.suspects)
    free_at = [0.0] * len(people.residents)
    wrong_pins = 0
    for at in arrivals:
        free = [number for number, until in enumerate(free_at) if until <= at]
        if not free:
            continue
        charger = chance.choice(free)
        stay = chance.uniform(0.1, 0.25) * duration
        free_at[charger] = at + stay + 1
        what = chance.random()
        resident = people.residents[charger]
        if suspects and what > 0.5:  # noqa: PLR2004 - every other one
            steps = _suspect(suspects.pop(0), stay)
        elif what < 0.06:  # noqa: PLR2004 - the shares of a morning
            steps = [(0.2, Action.PRESENT, _unknown_card(chance), False, None)]
        elif what < 0.12:  # noqa: PLR2004
            steps = _refused(chance.choice(people.blocked))
        elif what < 0.18:  # noqa: PLR2004
            steps = _refused(chance.choice(people.strangers))
        else:
            mistakes = resident.pin is not None and wrong_pins < MOST_WRONG_PINS and what < 0.4  # noqa: PLR2004
            wrong_pins += mistakes
            steps = _resident(chance, resident, stay, mistakes=mistakes)
        yield Step(round(at, 3), charger, Action.PLUG_IN)
        for after, action, code, may, person in steps:
            yield Step(round(at + after, 3), charger, action, code, may, person)
        yield Step(round(at + stay, 3), charger, Action.LEAVE)


Part = tuple[float, Action, str, bool, Person | None]


def _resident(
    chance: random.Random, person: Person, stay: float, *, mistakes: bool
) -> Sequence[Part]:
    steps: list[Part] = []
    if mistakes:
        wrong = f"#0{chance.randrange(10**6):06}"
        steps.append((stay * 0.05, Action.PRESENT, wrong, False, None))
    code = person.pin if person.pin and (mistakes or chance.random() < 0.5) else person.card  # noqa: PLR2004 - half of them
    steps.append((stay * 0.1, Action.PRESENT, code, True, person))
    incident = chance.random()
    if incident < 0.1:  # noqa: PLR2004 - the shares of a morning
        steps.append((stay * 0.3, Action.LOSE_CONNECTION, "", False, None))
        steps.append((stay * 0.6, Action.COME_BACK, "", False, None))
    elif incident < 0.2:  # noqa: PLR2004
        steps.append((stay * 0.4, Action.CUT, "", False, None))
    elif incident < 0.3:  # noqa: PLR2004
        steps.append((stay * 0.3, Action.REPEAT_START, "", False, None))
    return steps


def _suspect(person: Person, stay: float) -> Sequence[Part]:
    return [
        (stay * 0.1, Action.PRESENT, person.card, True, person),
        (stay * 0.4, Action.BLOCK, "", False, person),
    ]


def _refused(person: Person) -> Sequence[Part]:
    return [(0.2, Action.PRESENT, person.card, False, person)]


def _unknown_card(chance: random.Random) -> str:
    return f"04534DEE{chance.randrange(256**3):06X}"


def _storm(people: Population, begins: float, duration: float) -> Iterator[Step]:
    """Every fifth charger charges; all lose their connection at once, twice."""
    rest = duration - begins
    for number, person in enumerate(people.residents):
        if not number % 5:
            at = begins + rest * 0.1
            yield Step(round(at, 3), number, Action.PRESENT, person.card, may=True, person=person)
            yield Step(round(begins + rest * 0.9, 3), number, Action.LEAVE)
        for share in (0.3, 0.6):
            yield Step(round(begins + rest * share, 3), number, Action.CUT)
