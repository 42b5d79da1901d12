"""What access asks of identity, under its own service account."""

from __future__ import annotations

import grpc
from grpc import aio

from chargekey.identity.v1 import users_pb2, users_pb2_grpc
from chargekey_access.domain.errors import EmailMalformedError
from chargekey_common.grpc.client import AWAY, unavailable


class Identity:
    """Identity's answers, in this service's words."""

    def __init__(self, channel: aio.Channel) -> None:
        self._users = users_pb2_grpc.UserServiceStub(channel)

    async def user_of(self, email: str) -> str:
        """Return the id of the user with this address, who is made if there is none (R7).

        Raises EmailMalformedError or UnavailableError.
        """
        try:
            answer = await self._users.ResolveEmail(users_pb2.ResolveEmailRequest(email=email))
        except aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.INVALID_ARGUMENT:
                    raise EmailMalformedError from None
                case code if code in AWAY:
                    raise unavailable(error) from None
                case _:
                    raise
        return answer.user_id
