"""What access asks of the gateway, under its own service account."""

from __future__ import annotations

from grpc import aio

from chargekey.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from chargekey_access.domain.errors import ChargerBusyError
from chargekey_common.grpc.client import AWAY, unavailable


class Gateway:
    """The gateway's answers, in this service's words."""

    def __init__(self, channel: aio.Channel) -> None:
        self._gateway = gateway_pb2_grpc.GatewayServiceStub(channel)

    async def require_idle(self, charger_id: str) -> None:
        """Return where nothing charges; raises ChargerBusyError or UnavailableError."""
        request = gateway_pb2.ListRunningSessionsRequest(charger_id=charger_id)
        try:
            answer = await self._gateway.ListRunningSessions(request)
        except aio.AioRpcError as error:
            if error.code() in AWAY:
                raise unavailable(error) from None
            raise
        if answer.session_ids:
            raise ChargerBusyError
