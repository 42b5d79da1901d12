"""The codes that the portal starts sessions with, from identity, and kept nowhere."""

from __future__ import annotations

import grpc
from grpc import aio

from chargekey.identity.v1 import codes_pb2 as pb
from chargekey.identity.v1 import codes_pb2_grpc
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.client import AWAY, unavailable
from chargekey_gateway.command_errors import AppMissingError

DEADLINE = 3.0  # seconds

_HAS_NONE = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})


class AppCodes:
    """Asks identity, as the gateway."""

    def __init__(self, identity: aio.Channel) -> None:
        self._codes = codes_pb2_grpc.CodeServiceStub(identity)

    async def __call__(self, user_id: str) -> str:
        """Return the code of a user's APP identification.

        Raises AppMissingError where he has none that he may use, or UnavailableError.
        """
        request = pb.RevealAppCodeRequest(user_id=user_id)
        try:
            answer = await self._codes.RevealAppCode(request, timeout=DEADLINE)
        except aio.AioRpcError as error:
            if error.code() in AWAY:
                raise unavailable(error) from None
            if error.code() in _HAS_NONE:
                raise AppMissingError from None
            raise UnavailableError from None  # its own words may be about the code
        return answer.code
