"""The gateway, asked and told on behalf of operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from grpc import StatusCode, aio

from chargekey.gateway.v1 import commands_pb2, operators_pb2_grpc
from chargekey.gateway.v1 import operators_pb2 as pb
from chargekey_common.errors import FailedPreconditionError
from chargekey_common.grpc.client import AWAY, passed_on, remote_error, unavailable
from chargekey_notifier.ocpi.messages import nanoseconds
from chargekey_notifier.ocpi.tokens import Token

DEADLINE = 5.0  # seconds, for what needs no charger
CHARGER_DEADLINE = 30.0
AT_ONCE = 500  # tokens
# What drivers present at a charger; the rest are apps, whose tokens nobody presents there.
PRESENTED = frozenset({"RFID", "OTHER"})

Response = TypeVar("Response")


class Charging:
    """Raises a ChargekeyError with the gateway's own code, or UnavailableError."""

    def __init__(self, gateway: aio.Channel, reference: Callable[[Token], str]) -> None:
        """Tell over `gateway`; `reference` says what a token's sessions are known by."""
        self._reference = reference
        self._gateway = operators_pb2_grpc.OperatorServiceStub(gateway)

    async def remember(self, partner_id: str, tokens: Sequence[Token]) -> None:
        """Tell it what an operator says of tokens that are presented at chargers."""
        await self._tell(
            partner_id,
            [
                pb.OperatorToken(
                    uid=each.uid,
                    valid=each.valid,
                    whitelist=each.whitelist,
                    last_updated=nanoseconds(each.last_updated),
                    reference=self._reference(each),
                )
                for each in tokens
                if each.type in PRESENTED
            ],
        )

    async def forget(self, partner_id: str, tokens: Sequence[Token]) -> None:
        """Have it forget what the operator said of these."""
        told = [pb.OperatorToken(uid=each.uid) for each in tokens if each.type in PRESENTED]
        await self._tell(partner_id, told)

    async def _tell(self, partner_id: str, told: Sequence[pb.OperatorToken]) -> None:
        for first in range(0, len(told), AT_ONCE):
            request = pb.RememberTokensRequest(
                partner_id=partner_id, tokens=told[first : first + AT_ONCE]
            )
            await _answered(self._gateway.RememberTokens(request, timeout=DEADLINE))

    async def authorize(
        self, partner_id: str, installation_id: str, charger_ids: Sequence[str], code: str
    ) -> pb.AuthorizeForOperatorResponse:
        """Return whether a card may charge there."""
        request = pb.AuthorizeForOperatorRequest(
            partner_id=partner_id,
            installation_id=installation_id,
            charger_ids=charger_ids,
            code=code,
        )
        return await _answered(self._gateway.AuthorizeForOperator(request, timeout=DEADLINE))

    async def start(self, request: pb.StartForOperatorRequest) -> commands_pb2.CommandOutcome:
        """Return what the charger answered."""
        call = self._gateway.StartForOperator(request, timeout=CHARGER_DEADLINE)
        return (await _answered(call)).outcome

    async def stop(self, request: pb.StopForOperatorRequest) -> commands_pb2.CommandOutcome:
        """Return what the charger answered."""
        call = self._gateway.StopForOperator(request, timeout=CHARGER_DEADLINE)
        return (await _answered(call)).outcome

    async def unlock(self, request: pb.UnlockForOperatorRequest) -> commands_pb2.CommandOutcome:
        """Return what the charger answered."""
        call = self._gateway.UnlockForOperator(request, timeout=CHARGER_DEADLINE)
        return (await _answered(call)).outcome


class GatewayRefusedError(FailedPreconditionError):
    """The gateway's own refusal, in its words."""

    code = "gateway_refused"
    sentence = "The gateway refuses."


async def _answered(call: Awaitable[Response]) -> Response:
    try:
        return await call
    except aio.AioRpcError as error:
        if error.code() in AWAY:
            raise unavailable(error) from error
        if error.code() is StatusCode.INTERNAL:
            raise
        raise passed_on(GatewayRefusedError, remote_error(error)) from None
