"""The codes that the portal starts sessions with, from identity, and kept nowhere."""

from __future__ import annotations

import grpc
import msgspec
from grpc import aio

from chargekey.identity.v1 import codes_pb2 as pb
from chargekey.identity.v1 import codes_pb2_grpc
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.client import AWAY, remote_error, unavailable
from chargekey_gateway.command_errors import AppMissingError, StartRefusedError
from chargekey_gateway.decision import Reason

DEADLINE = 3.0  # seconds


class AppCode(msgspec.Struct, frozen=True):
    """An APP identification's code, and its id."""

    identification_id: str
    code: str

    def __repr__(self) -> str:
        """Say whose, never what."""
        return f"AppCode({self.identification_id})"


_HAS_NONE = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})


class AppCodes:
    """Asks identity, as the gateway."""

    def __init__(self, identity: aio.Channel) -> None:
        self._codes = codes_pb2_grpc.CodeServiceStub(identity)

    async def __call__(self, user_id: str) -> AppCode:
        """Return the code of a user's APP identification.

        Raises StartRefusedError where he is blocked, AppMissingError where he has none that he
        may use, or UnavailableError.
        """
        request = pb.RevealAppCodeRequest(user_id=user_id)
        try:
            answer = await self._codes.RevealAppCode(request, timeout=DEADLINE)
        except aio.AioRpcError as error:
            if error.code() in AWAY:
                raise unavailable(error) from None
            if remote_error(error).code == Reason.USER_BLOCKED:
                raise StartRefusedError.because(Reason.USER_BLOCKED) from None
            if error.code() in _HAS_NONE:
                raise AppMissingError from None
            raise UnavailableError from None  # its own words may be about the code
        return AppCode(answer.identification_id, answer.code)
