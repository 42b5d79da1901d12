"""Why a session began or something was refused: as recorded, and decided again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import msgspec
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.history.v1 import decisions_pb2 as pb
from chargekey.history.v1.decisions_pb2_grpc import DecisionServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.grpc.client import channel, remote_error
from chargekey_common.published.sessions import Inputs, OperatorAnswer
from chargekey_common.testing.grpc import served
from chargekey_history.api import decisions
from chargekey_history.api.gateway import Gateway
from chargekey_history.projections.past import Bookmark, Past

from .neighbours import STEPS, SmallGateway, small_gateway
from .sessions import NOON, fact, refused, start_refused, started

INPUTS = Inputs(
    at=NOON,
    token_type="PIN",
    user_id="anna",
    user_blocked=True,
    operator_answer=OperatorAnswer(status="BLOCKED", last_known=True),
    positions=("access:0:1", "identity:0:2"),
)
Asked = list[tuple[str, str]]


def remember(past: Past) -> None:
    past.apply(
        [
            fact(started("s1", inputs=Inputs(at=NOON + 1)), 1),
            fact(refused(inputs=INPUTS), 2, event_id="r1"),
            fact(start_refused("s2", user_id=None), 3, event_id="r2"),
        ],
        Bookmark("then", 3),
    )


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[tuple[Gateway, SmallGateway]]:
    async with small_gateway(tmp_path) as both:
        yield both


async def test_a_refusal_is_told_with_its_inputs_and_decided_again(
    past: Past, tmp_path: Path, gateway: tuple[Gateway, SmallGateway]
) -> None:
    remember(past)
    asking, asked = gateway

    async def check(*_: object) -> None:
        pass

    async with served(decisions.service(past, asking), tmp_path, check) as as_caller:
        stub = DecisionServiceStub(as_caller(ADMINISTRATOR))
        answer = await stub.ExplainDecision(pb.ExplainDecisionRequest(id="r1"))
        began = await stub.ExplainDecision(pb.ExplainDecisionRequest(id="s1"))
    assert msgspec.json.decode(answer.inputs, type=Inputs) == INPUTS
    assert asked.inputs == [answer.inputs, began.inputs]
    answer.ClearField("inputs")
    assert answer == pb.ExplainDecisionResponse(
        installation_id="home",
        charger_id="garage",
        user_id="anna",
        identification_id="anna-pin",
        stage="authorize",
        at=NOON,
        status="Blocked",
        reason="user_blocked",
        positions=["access:0:1", "identity:0:2"],
        replayed_status="Blocked",
        replayed_reason="user_blocked",
        explanation=["1. Is it?", "2. It is."],
        steps=STEPS,
    )
    assert (began.stage, began.status, began.at) == ("start", "Accepted", NOON + 1)


async def test_it_is_ones_own_to_know_or_the_sites(
    past: Past, tmp_path: Path, gateway: tuple[Gateway, SmallGateway]
) -> None:
    """Of what does not exist nobody learns more than of what is somebody else's."""
    remember(past)
    asked: Asked = []

    async def check(caller: Caller, action: str, obj: str) -> None:
        asked.append((action, obj))
        if obj not in (f"{caller}", caller.replace("user:owner-of-", "installation:")):
            raise PermissionDeniedError

    async def why(caller: str, entry: str) -> grpc.StatusCode:
        stub = DecisionServiceStub(as_caller(Caller(caller)))
        try:
            await stub.ExplainDecision(pb.ExplainDecisionRequest(id=entry))
        except aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    denied = grpc.StatusCode.PERMISSION_DENIED
    async with served(decisions.service(past, gateway[0]), tmp_path, check) as as_caller:
        assert await why("user:anna", "r1") is grpc.StatusCode.OK
        assert await why("user:anna", "s1") is grpc.StatusCode.OK
        assert await why("user:owner-of-home", "r1") is grpc.StatusCode.OK
        assert await why("user:anna", "r2") is denied
        assert await why("user:bob", "r1") is denied
        assert await why("user:owner-of-office", "r1") is denied
        assert await why("user:bob", "never-was") is denied
    assert {action for action, _ in asked} == {"history.ExplainDecision"}
    assert asked[0][1] == "user:anna"
    assert asked[2][1] == "installation:home"


async def test_without_the_gateway_what_was_recorded_is_told_all_the_same(
    past: Past, tmp_path: Path
) -> None:
    remember(past)
    nowhere = channel("127.0.0.1:1", None)

    async def check(*_: object) -> None:
        pass

    async with served(decisions.service(past, Gateway(nowhere)), tmp_path, check) as as_caller:
        stub = DecisionServiceStub(as_caller(ADMINISTRATOR))
        answer = await stub.ExplainDecision(pb.ExplainDecisionRequest(id="r1"))
        with pytest.raises(aio.AioRpcError) as missing:
            await stub.ExplainDecision(pb.ExplainDecisionRequest(id="never-was"))
    await nowhere.close()
    assert (answer.status, answer.reason) == ("Blocked", "user_blocked")
    assert (answer.replayed_status, list(answer.explanation)) == ("", [])
    assert not answer.steps
    assert remote_error(missing.value).code == "decision_unknown"
