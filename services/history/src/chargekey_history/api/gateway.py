"""What history asks of the gateway, under its own service account."""

from __future__ import annotations

import msgspec
import structlog
from grpc import aio

from chargekey.gateway.v1 import decisions_pb2, decisions_pb2_grpc
from chargekey_common.grpc.client import AWAY

log = structlog.get_logger()


class Replayed(msgspec.Struct, frozen=True):
    """A decision made again: OCPP 1.6's word, our reason, the steps that were taken.

    In one line a step, and as the gateway tells them to whoever has words of his own.
    """

    status: str = ""
    reason: str = ""
    explanation: tuple[str, ...] = ()
    steps: tuple[decisions_pb2.DecisionStep, ...] = ()


NOT_REPLAYED = Replayed()


class Gateway:
    """The gateway's answers, in this service's words."""

    def __init__(self, channel: aio.Channel) -> None:
        self._decisions = decisions_pb2_grpc.DecisionServiceStub(channel)

    async def replay(self, inputs: str) -> Replayed:
        """Make the decision again; NOT_REPLAYED while nobody is there to make it.

        What was recorded can be told all the same.
        """
        request = decisions_pb2.ReplayDecisionRequest(inputs=inputs)
        try:
            answer = await self._decisions.ReplayDecision(request)
        except aio.AioRpcError as error:
            if error.code() not in AWAY:
                raise
            log.warning("decision_not_replayed", because=error.code().name)
            return NOT_REPLAYED
        return Replayed(
            answer.status, answer.reason, tuple(answer.explanation), tuple(answer.steps)
        )
