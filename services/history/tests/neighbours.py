"""Access and the gateway as history sees them: what exists, and decisions made again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import aio

from chargekey.access.v1 import (
    chargers_pb2,
    chargers_pb2_grpc,
    check_pb2,
    check_pb2_grpc,
    installations_pb2,
    installations_pb2_grpc,
)
from chargekey.gateway.v1 import decisions_pb2, decisions_pb2_grpc
from chargekey_common.accounts import Caller, service_account
from chargekey_common.errors import NotFoundError, PermissionDeniedError
from chargekey_common.grpc.server import Objects, Service
from chargekey_common.testing.grpc import served
from chargekey_history.api.access import Access
from chargekey_history.api.gateway import Gateway

Context = aio.ServicerContext[Any, Any]
METHODS: Objects = dict.fromkeys(("GetInstallation", "GetCharger", "FindUser"), lambda _: "system")


class NothingThereError(NotFoundError):
    code = "unknown"
    sentence = "There is no such thing."


class SmallAccess(
    installations_pb2_grpc.InstallationServiceServicer,
    chargers_pb2_grpc.ChargerServiceServicer,
    check_pb2_grpc.CheckServiceServicer,
):
    """Knows the installations, chargers and users it is given."""

    def __init__(self) -> None:
        self.installations = {"home", "office"}
        self.chargers = {"garage": "home", "roof": "office", "new": "home"}
        self.users = {"anna", "grace"}

    async def GetInstallation(
        self, request: installations_pb2.GetInstallationRequest, _: Context
    ) -> installations_pb2.GetInstallationResponse:
        if request.installation_id not in self.installations:
            raise NothingThereError
        return installations_pb2.GetInstallationResponse()

    async def GetCharger(
        self, request: chargers_pb2.GetChargerRequest, _: Context
    ) -> chargers_pb2.GetChargerResponse:
        if request.charger_id not in self.chargers:
            raise NothingThereError
        charger = chargers_pb2.Charger(installation_id=self.chargers[request.charger_id])
        return chargers_pb2.GetChargerResponse(charger=charger)

    async def FindUser(
        self, request: check_pb2.FindUserRequest, _: Context
    ) -> check_pb2.FindUserResponse:
        if request.user_id not in self.users:
            raise NothingThereError
        return check_pb2.FindUserResponse()


STEPS = (
    decisions_pb2.DecisionStep(question="charger_unknown"),
    decisions_pb2.DecisionStep(question="blocked", reason="user_blocked"),
)


class SmallGateway(decisions_pb2_grpc.DecisionServiceServicer):
    """Decides the same of everything, and keeps what it was sent."""

    def __init__(self) -> None:
        self.inputs: list[str] = []

    async def ReplayDecision(
        self, request: decisions_pb2.ReplayDecisionRequest, _: Context
    ) -> decisions_pb2.ReplayDecisionResponse:
        self.inputs.append(request.inputs)
        return decisions_pb2.ReplayDecisionResponse(
            status="Blocked",
            reason="user_blocked",
            explanation=["1. Is it?", "2. It is."],
            steps=STEPS,
        )

    async def PreviewChange(
        self, _: decisions_pb2.PreviewChangeRequest, __: Context
    ) -> decisions_pb2.PreviewChangeResponse:
        raise NothingThereError


async def _only_history(caller: Caller, _: str, __: str) -> None:
    if caller != service_account("history"):
        raise PermissionDeniedError


@asynccontextmanager
async def small_access(directory: Path) -> AsyncIterator[Access]:
    """Serve one on a free port; yield what history asks it through."""
    small = SmallAccess()
    installations, *beside = (
        Service(f"chargekey.access.v1.{name}", add, small, METHODS)
        for name, add in (
            (
                "InstallationService",
                installations_pb2_grpc.add_InstallationServiceServicer_to_server,
            ),
            ("ChargerService", chargers_pb2_grpc.add_ChargerServiceServicer_to_server),
            ("CheckService", check_pb2_grpc.add_CheckServiceServicer_to_server),
        )
    )
    async with served(installations, directory, _only_history, *beside) as as_caller:
        yield Access(as_caller(service_account("history")))


@asynccontextmanager
async def small_gateway(directory: Path) -> AsyncIterator[tuple[Gateway, SmallGateway]]:
    """Serve one on a free port; yield what history asks it through, and the gateway itself."""
    small = SmallGateway()
    decisions = Service(
        "chargekey.gateway.v1.DecisionService",
        decisions_pb2_grpc.add_DecisionServiceServicer_to_server,
        small,
        dict.fromkeys(("ReplayDecision", "PreviewChange"), lambda _: "system"),
    )
    async with served(decisions, directory, _only_history) as as_caller:
        yield Gateway(as_caller(service_account("history"))), small
