"""Gateway and identity as access sees them, with what they tell access alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import aio

from chargekey.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from chargekey.identity.v1 import users_pb2, users_pb2_grpc
from chargekey_access.api.gateway import Gateway
from chargekey_access.api.identity import Identity
from chargekey_common.accounts import Caller, service_account
from chargekey_common.errors import InvalidArgumentError, PermissionDeniedError
from chargekey_common.grpc.server import Service
from chargekey_common.testing.grpc import served

Context = aio.ServicerContext[Any, Any]


class SmallGateway(gateway_pb2_grpc.GatewayServiceServicer):
    """Knows of the chargers where somebody is charging."""

    def __init__(self, charging: AbstractSet[str]) -> None:
        self._charging = charging

    async def ListRunningSessions(
        self, request: gateway_pb2.ListRunningSessionsRequest, _: Context
    ) -> gateway_pb2.ListRunningSessionsResponse:
        found = ["session"] if request.charger_id in self._charging else []
        return gateway_pb2.ListRunningSessionsResponse(session_ids=found)


async def _only_access(caller: Caller, _: str, __: str) -> None:
    if caller != service_account("access"):
        raise PermissionDeniedError


@asynccontextmanager
async def small_gateway(directory: Path, charging: AbstractSet[str]) -> AsyncIterator[Gateway]:
    """Serve one on a free port; yield what access asks it through."""
    service = Service(
        "chargekey.gateway.v1.GatewayService",
        gateway_pb2_grpc.add_GatewayServiceServicer_to_server,
        SmallGateway(charging),  # type: ignore[abstract] # nobody asks for more
        {"ListRunningSessions": lambda _: "system"},
    )
    async with served(service, directory / "gateway", _only_access) as as_caller:
        yield Gateway(as_caller(service_account("access")))


class NoEmailError(InvalidArgumentError):
    """As identity says it."""

    code = "email_malformed"
    sentence = "Give an address."


class SmallIdentity(users_pb2_grpc.UserServiceServicer):
    """Knows whose an address is, and makes a user for one that is nobody's."""

    def __init__(self, people: dict[str, str]) -> None:
        self._people = people

    async def ResolveEmail(
        self, request: users_pb2.ResolveEmailRequest, _: Context
    ) -> users_pb2.ResolveEmailResponse:
        if "@" not in request.email:
            raise NoEmailError
        user_id = self._people.setdefault(request.email, f"user-{len(self._people) + 1}")
        return users_pb2.ResolveEmailResponse(user_id=user_id)


@asynccontextmanager
async def small_identity(directory: Path, people: dict[str, str]) -> AsyncIterator[Identity]:
    """Serve one on a free port; yield what access asks it through."""
    service = Service(
        "chargekey.identity.v1.UserService",
        users_pb2_grpc.add_UserServiceServicer_to_server,
        SmallIdentity(people),  # type: ignore[abstract] # nobody asks for more
        {"ResolveEmail": lambda _: "system"},
    )
    async with served(service, directory / "identity", _only_access) as as_caller:
        yield Identity(as_caller(service_account("access")))
