"""Access as history sees it: what exists, told to history alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import aio

from chargekey.access.v1 import access_pb2 as pb
from chargekey.access.v1 import access_pb2_grpc
from chargekey_common.accounts import Caller, service_account
from chargekey_common.errors import NotFoundError, PermissionDeniedError
from chargekey_common.grpc.server import Service
from chargekey_common.testing.grpc import served
from chargekey_history.api.access import Access

Context = aio.ServicerContext[Any, Any]


class NothingThereError(NotFoundError):
    code = "unknown"
    sentence = "There is no such thing."


class SmallAccess(access_pb2_grpc.AccessServiceServicer):
    """Knows the installations, chargers and users it is given."""

    def __init__(self) -> None:
        self.installations = {"home", "office"}
        self.chargers = {"garage", "roof"}
        self.users = {"anna", "grace"}

    async def GetInstallation(
        self, request: pb.GetInstallationRequest, _: Context
    ) -> pb.GetInstallationResponse:
        if request.installation_id not in self.installations:
            raise NothingThereError
        return pb.GetInstallationResponse()

    async def GetCharger(self, request: pb.GetChargerRequest, _: Context) -> pb.GetChargerResponse:
        if request.charger_id not in self.chargers:
            raise NothingThereError
        return pb.GetChargerResponse()

    async def FindUser(self, request: pb.FindUserRequest, _: Context) -> pb.FindUserResponse:
        if request.user_id not in self.users:
            raise NothingThereError
        return pb.FindUserResponse()


async def _only_history(caller: Caller, _: str, __: str) -> None:
    if caller != service_account("history"):
        raise PermissionDeniedError


@asynccontextmanager
async def small_access(directory: Path) -> AsyncIterator[Access]:
    """Serve one on a free port; yield what history asks it through."""
    service = Service(
        "chargekey.access.v1.AccessService",
        access_pb2_grpc.add_AccessServiceServicer_to_server,
        SmallAccess(),
        dict.fromkeys(("GetInstallation", "GetCharger", "FindUser"), lambda _: "system"),
    )
    async with served(service, directory, _only_history) as as_caller:
        yield Access(as_caller(service_account("history")))
