"""The gRPC service: why a session began, or something was refused."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from grpc import aio

from chargekey.history.v1 import decisions_pb2 as pb
from chargekey.history.v1 import decisions_pb2_grpc
from chargekey_common.grpc.server import Objects, Service, current_caller
from chargekey_common.published.sessions import Inputs
from chargekey_history.api.gateway import Gateway
from chargekey_history.errors import DecisionUnknownError
from chargekey_history.projections.past import Past

NAME = "chargekey.history.v1.DecisionService"

Context = aio.ServicerContext[Any, Any]


class DecisionServicer(decisions_pb2_grpc.DecisionServiceServicer):
    """Every method of decisions.proto."""

    def __init__(self, past: Past, gateway: Gateway) -> None:
        self._past = past
        self._gateway = gateway

    async def ExplainDecision(
        self, request: pb.ExplainDecisionRequest, _: Context
    ) -> pb.ExplainDecisionResponse:
        found = await asyncio.to_thread(self._past.decided, request.id)
        if found is None:
            raise DecisionUnknownError
        inputs = msgspec.json.decode(found.inputs, type=Inputs)
        replayed = await self._gateway.replay(found.inputs)
        return pb.ExplainDecisionResponse(
            installation_id=found.installation_id,
            charger_id=found.charger_id,
            user_id=found.user_id or "",
            identification_id=found.identification_id or "",
            stage=found.stage,
            at=inputs.at,
            status=found.status,
            reason=found.reason,
            inputs=found.inputs,
            positions=inputs.positions,
            replayed_status=replayed.status,
            replayed_reason=replayed.reason,
            explanation=replayed.explanation,
            steps=replayed.steps,
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {"ExplainDecision": self._object}

    async def _object(self, request: pb.ExplainDecisionRequest) -> str:
        """Return whose it is to know: the caller's where it is about himself, else the site's."""
        found = await asyncio.to_thread(self._past.decided, request.id)
        if found is None:
            raise DecisionUnknownError
        if found.user_id is not None and current_caller() == f"user:{found.user_id}":
            return f"user:{found.user_id}"
        return f"installation:{found.installation_id}"


def service(past: Past, gateway: Gateway) -> Service:
    """Return the service, to be served."""
    servicer = DecisionServicer(past, gateway)
    return Service(
        NAME, decisions_pb2_grpc.add_DecisionServiceServicer_to_server, servicer, servicer.objects()
    )
