"""What history asks of access, under its own service account."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import grpc
from grpc import aio

from chargekey.access.v1 import (
    chargers_pb2,
    chargers_pb2_grpc,
    check_pb2,
    check_pb2_grpc,
    installations_pb2,
    installations_pb2_grpc,
)
from chargekey_common.errors import NotFoundError
from chargekey_common.grpc.client import AWAY, unavailable
from chargekey_history.errors import (
    ChargerUnknownError,
    InstallationUnknownError,
    UserUnknownError,
)

Answer = TypeVar("Answer")


class Access:
    """Access's answers, in this service's words."""

    def __init__(self, channel: aio.Channel) -> None:
        self._installations = installations_pb2_grpc.InstallationServiceStub(channel)
        self._chargers = chargers_pb2_grpc.ChargerServiceStub(channel)
        self._check = check_pb2_grpc.CheckServiceStub(channel)

    async def require(self, *, installation_id: str, charger_id: str, user_id: str) -> None:
        """Return where what is named exists; an empty name names nothing.

        Raises InstallationUnknownError, ChargerUnknownError, UserUnknownError or
        UnavailableError.
        """
        if installation_id:
            request = installations_pb2.GetInstallationRequest(installation_id=installation_id)
            await _found(self._installations.GetInstallation(request), InstallationUnknownError)
        if charger_id:
            await self._charger(charger_id)
        if user_id:
            user = check_pb2.FindUserRequest(user_id=user_id)
            await _found(self._check.FindUser(user), UserUnknownError)

    async def installation_of(self, charger_id: str) -> str:
        """Return where the charger is now; raises ChargerUnknownError or UnavailableError."""
        return str((await self._charger(charger_id)).charger.installation_id)

    async def _charger(self, charger_id: str) -> chargers_pb2.GetChargerResponse:
        request = chargers_pb2.GetChargerRequest(charger_id=charger_id)
        return await _found(self._chargers.GetCharger(request), ChargerUnknownError)


async def _found(call: Awaitable[Answer], missing: type[NotFoundError]) -> Answer:
    try:
        return await call
    except aio.AioRpcError as error:
        match error.code():
            case grpc.StatusCode.NOT_FOUND:
                raise missing from None
            case code if code in AWAY:
                raise unavailable(error) from None
            case _:
                raise
