"""What identity asks of access, under its own service account."""

from __future__ import annotations

import grpc
import structlog
from grpc import aio

from chargekey.access.v1 import access_pb2 as pb
from chargekey.access.v1 import access_pb2_grpc
from chargekey_common.grpc.client import AWAY, unavailable
from chargekey_common.positions import Position
from chargekey_identity.domain.errors import InstallationUnknownError

ON_LOCAL_USER_ADDED = "access-on-local-user-added"

log = structlog.get_logger()


class Access:
    """Access's answers, in this service's words."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = access_pb2_grpc.AccessServiceStub(channel)

    async def time_zone(self, installation_id: str) -> str:
        """Return an installation's zone; raises InstallationUnknownError or UnavailableError."""
        request = pb.GetInstallationRequest(installation_id=installation_id)
        try:
            answer = await self._stub.GetInstallation(request)
        except aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.NOT_FOUND:
                    raise InstallationUnknownError from None
                case code if code in AWAY:
                    raise unavailable(error) from None
                case _:
                    raise
        return answer.installation.time_zone

    async def permission_position(self, added: Position, *, within: float) -> str:
        """Return the position that includes a new user's permission; empty after `within` seconds.

        Never raises for access's sake: the user exists, and his permission will follow.
        """
        if within <= 0:
            return ""
        request = pb.AwaitReactionRequest(reaction=ON_LOCAL_USER_ADDED, position=str(added))
        try:
            answer = await self._stub.AwaitReaction(request, timeout=within)
        except aio.AioRpcError as error:
            log.info("permission_pending", error=error.code().name)
            return ""
        return answer.position
