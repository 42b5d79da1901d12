"""The same policy in engines that people would pick, with the same answers, in one process."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any, Protocol

import casbin
import cedarpy
from casbin.model import FastModel

from benchmarks.figures import Figure, at_least, compared, in_turn
from benchmarks.population import Population
from benchmarks.views import filled
from chargekey_common.keyed_ids import CodeClass, KeyedId
from chargekey_common.published import identity
from chargekey_gateway.decision import accept_at_once, decided
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.view.entries import Charger, Identification
from chargekey_gateway.view.view import View

AT = 1_700_000_000_000_000_000
TAPS = 20_000
ASKED = 2_000  # of engines that take a hundred times as long
POPULATION = Population.of(20_000)

# What Chargekey decides by for a card at a charger where something must be presented.
_CEDAR = """
permit (principal is Card, action == Action::"charge", resource is Charger)
when {
  principal.active && context.now < principal.until && !principal.user.blocked &&
  resource.types.contains(principal.kind) &&
  (principal.user.holds.contains(resource) || principal.user.holds.contains(resource.site))
};
"""
_CASBIN = """
[request_definition]
r = user, charger, site, kind, kinds, active, until, blocked, now
[policy_definition]
p = user, target
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.user == p.user && (r.charger == p.target || r.site == p.target) && r.active && \
r.now < r.until && !r.blocked && r.kind in r.kinds
"""

Tap = tuple[Charger, KeyedId]


def figures() -> Iterator[Figure]:
    """Measure ours against each; raises AssertionError where two answers differ."""
    view = _view()
    taps = _taps(view)
    answers = [_accepted(view, each) for each in taps]
    accepted = [tap for tap, answer in zip(taps, answers, strict=True) if answer]
    peers: Sequence[tuple[str, _Engine, int]] = (
        ("cedarpy", _Cedar(view), 75),
        ("casbin's FastEnforcer", _Casbin(view), 100),
    )
    for name, engine, goal in peers:
        requests = [engine.request(*_presented(view, each)) for each in taps[:ASKED]]
        if [engine.allows(each) for each in requests] != answers[:ASKED]:
            message = f"{name} answers otherwise"
            raise AssertionError(message)
        good = [engine.request(*_presented(view, each)) for each in accepted[:ASKED]]
        for kind, ours, theirs, wanted in (
            ("accepted taps", accepted, good, at_least(goal)),
            ("taps of which one in twelve is refused", taps, requests, None),
        ):
            yield compared(
                f"{kind}, 20,000 identifications, beside {name}",
                in_turn(partial(_rate, view, ours), partial(_rate_of, engine, theirs)),
                unit="1/s",
                against=name,
                goal=wanted,
            )


class _Engine(Protocol):
    def request(self, charger: Charger, card: Identification) -> Any:  # noqa: ANN401 - its own form
        """Return what it is asked, made before it is timed."""

    def allows(self, request: Any) -> bool:  # noqa: ANN401 - its own form
        """Decide."""


class _Cedar:
    """Policies and entities are read once, which is the fastest it can do."""

    def __init__(self, view: View) -> None:
        self._policies = cedarpy.PolicySet.from_str(_CEDAR)
        self._entities = cedarpy.Entities.from_json_str(json.dumps(list(_entities(view))))

    def request(self, charger: Charger, card: Identification) -> dict[str, Any]:
        return {
            "principal": {"type": "Card", "id": card.id},
            "action": {"type": "Action", "id": "charge"},
            "resource": {"type": "Charger", "id": charger.id},
            "context": json.dumps({"now": AT}),
        }

    def allows(self, request: dict[str, Any]) -> bool:
        allowed: bool = cedarpy.is_authorized(request, self._policies, self._entities).allowed
        return allowed


class _Casbin:
    """Of the policies it looks at those of the user alone."""

    def __init__(self, view: View) -> None:
        logging.disable()
        model = FastModel([0])
        model.load_model_from_text(_CASBIN)
        self._enforcer = casbin.FastEnforcer(model, cache_key_order=[0])
        for number in range(POPULATION.users):
            user = view.user(POPULATION.user_id(number))
            for grant in () if user is None else user.held:
                # By its own method every one counts all that are there.
                model["p"]["p"].policy.append([POPULATION.user_id(number), grant.right.target.id])

    def request(self, charger: Charger, card: Identification) -> Sequence[Any]:
        return (
            card.user.id,
            charger.id,
            charger.installation.id,
            card.type,
            charger.identification_types,
            card.terms.status == "ACTIVE",
            _end(card),
            bool(card.user.blocks),
            AT,
        )

    def allows(self, request: Sequence[Any]) -> bool:
        allowed: bool = self._enforcer.enforce(*request)
        return allowed


def _view() -> View:
    """Return a view in which some are blocked, and some cards have ended."""
    view = filled(POPULATION)
    for number in range(0, POPULATION.identifications, 70):
        view.apply(
            identity.IdentificationStatusChanged(
                user_id=POPULATION.user_id(POPULATION.holder(number)),
                identification_id=POPULATION.identification_id(number),
                status="BLOCKED",
            )
        )
    for number in range(0, POPULATION.identifications, 50):
        view.apply(
            identity.IdentificationExpiryChanged(
                user_id=POPULATION.user_id(POPULATION.holder(number)),
                identification_id=POPULATION.identification_id(number),
                valid_until=AT + number % 3 - 1,
            )
        )
    for number in range(0, POPULATION.users, 110):
        view.apply(identity.UserBlocked(user_id=POPULATION.user_id(number)))
    return view


def _taps(view: View) -> Sequence[Tap]:
    """Return taps, of which one in twelve is refused: elsewhere, or as blocked or over."""
    chance = random.Random(9)
    taps = []
    for _ in range(TAPS):
        card = chance.randrange(POPULATION.identifications)
        here = POPULATION.charger_of(card) if chance.random() < 0.95 else chance.randrange(1_000)
        charger = view.charger(POPULATION.charger_id(here))
        if charger is None:
            raise LookupError(here)
        taps.append((charger, KeyedId(bytes(bytearray(POPULATION.keyed_id(card))))))
    return taps


def _presented(view: View, tap: Tap) -> tuple[Charger, Identification]:
    card = view.identification(tap[1])
    if card is None:
        raise LookupError(tap[1])
    return tap[0], card


def _accepted(view: View, tap: Tap) -> bool:
    """Decide as at a tap: at once, or by the steps where that does not accept."""
    charger, keyed_id = tap
    card = view.identification(keyed_id)
    if card is not None and accept_at_once(charger, card, AT) is not None:
        return True
    presented = Presented("04A1B2C3D4E5F6", CodeClass.UID, card)
    return decided(gather(charger, presented, at=AT, positions=())).accepted


def _rate(view: View, taps: Sequence[Tap]) -> float:
    began = perf_counter_ns()
    for tap in taps:
        _accepted(view, tap)
    return len(taps) * 1e9 / (perf_counter_ns() - began)


def _rate_of(engine: _Engine, requests: Sequence[Any]) -> float:
    began = perf_counter_ns()
    for request in requests:
        engine.allows(request)
    return len(requests) * 1e9 / (perf_counter_ns() - began)


def _end(card: Identification) -> int:
    return 2**63 - 1 if card.terms.valid_until is None else card.terms.valid_until


def _entities(view: View) -> Iterator[dict[str, Any]]:
    def entity(of: str, name: str, **attributes: object) -> dict[str, Any]:
        return {"uid": {"type": of, "id": name}, "attrs": attributes, "parents": []}

    def to(of: str, name: str) -> dict[str, Any]:
        return {"__entity": {"type": of, "id": name}}

    for charger in view.chargers():
        site = to("Site", charger.installation.id)
        yield entity("Charger", charger.id, site=site, types=sorted(charger.identification_types))
    for number in range(POPULATION.users):
        user = view.user(POPULATION.user_id(number))
        if user is None:
            continue
        holds = [
            to("Charger" if each.right.on_charger else "Site", each.right.target.id)
            for each in user.held
        ]
        yield entity("User", user.id, blocked=bool(user.blocks), holds=holds)
        for card in user.presents:
            yield entity(
                "Card",
                card.id,
                user=to("User", user.id),
                kind=card.type,
                active=card.terms.status == "ACTIVE",
                until=_end(card),
            )
