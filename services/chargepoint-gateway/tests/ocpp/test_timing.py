"""How long an Authorize takes is told, whoever decides it; what a call is traced by, too."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import get_current_span
from prometheus_client import REGISTRY

from chargekey_gateway.ocpp.dialect import AtOnce
from chargekey_gateway.ocpp.timing import timed
from chargekey_gateway.ocpp.tracing import traced
from chargekey_gateway.ocpp16.messages import Heartbeat, HeartbeatResponse
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21.routes import OCPP21

ANSWER = HeartbeatResponse(current_time="now")


Around = Callable[[Callable[..., Any]], Callable[..., Any]]


def _traced_answer(answer: Callable[..., Any]) -> Callable[..., Any]:
    route = AtOnce(Heartbeat, HeartbeatResponse, answer)
    own = traced(dataclasses.replace(OCPP16, routes={"Heartbeat": route})).routes["Heartbeat"]
    return own.answer


def answered(decided_by: str) -> float:
    labels = {"decided_by": decided_by}
    found = REGISTRY.get_sample_value("authorize_duration_seconds_count", labels)
    assert found is not None
    return found


def test_an_answer_from_memory_is_timed() -> None:
    before = answered("gateway"), answered("operator")
    assert timed(lambda _, __: ANSWER)(None, Heartbeat()) is ANSWER  # type: ignore[arg-type]
    assert (answered("gateway"), answered("operator")) == (before[0] + 1, before[1])


async def test_an_operators_answer_is_timed_until_it_is_there() -> None:
    async def ask() -> HeartbeatResponse:
        await asyncio.sleep(0)
        return ANSWER

    before = answered("gateway"), answered("operator")
    asking = timed(lambda _, __: ask())(None, Heartbeat())  # type: ignore[arg-type]
    assert not isinstance(asking, HeartbeatResponse)
    assert answered("operator") == before[1]
    assert await asking is ANSWER
    assert (answered("gateway"), answered("operator")) == (before[0], before[1] + 1)


@pytest.mark.parametrize("around", [timed, _traced_answer])
async def test_an_answer_that_nobody_awaits_leaves_nothing_behind(around: Around) -> None:
    """What was never begun would warn, once it is forgotten."""

    async def ask() -> HeartbeatResponse:
        return ANSWER

    asking = around(lambda _, __: ask())(SimpleNamespace(charger=SimpleNamespace(id="c")), None)
    asking.close()
    del asking
    gc.collect()


@pytest.mark.parametrize("dialect", [OCPP16, OCPP20, OCPP21], ids=lambda each: each.version)
def test_every_version_times_its_authorize(dialect: object) -> None:
    answer: Callable[..., object] = dialect.routes["Authorize"].answer  # type: ignore[attr-defined]
    assert answer.__qualname__.startswith("timed.")


@pytest.mark.parametrize("dialect", [OCPP16, OCPP20, OCPP21], ids=lambda each: each.version)
def test_only_a_dialect_made_for_it_has_traces_in_the_way(dialect: object) -> None:
    own = dialect.routes  # type: ignore[attr-defined]
    with_traces = traced(dialect).routes  # type: ignore[arg-type]
    assert with_traces.keys() == own.keys()
    for action, route in with_traces.items():
        assert "answer_traced" in route.answer.__qualname__
        assert "answer_traced" not in own[action].answer.__qualname__
        assert (route.decoder, route.then) == (own[action].decoder, own[action].then)
    assert not get_current_span().get_span_context().is_valid
