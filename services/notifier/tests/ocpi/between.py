"""Us and an operator, with what stands behind us: access and the gateway over gRPC."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import reduce
from pathlib import Path
from typing import Any

import httpx2
from grpc import aio

from chargekey.access.v1 import decision_endpoints_pb2, decision_endpoints_pb2_grpc
from chargekey.gateway.v1 import commands_pb2, operators_pb2, operators_pb2_grpc
from chargekey_common.accounts import Caller, service_account
from chargekey_common.errors import (
    ChargekeyError,
    NotFoundError,
    PermissionDeniedError,
)
from chargekey_common.eventstore.store import Context
from chargekey_common.grpc.server import Service
from chargekey_common.http_server import HttpServer
from chargekey_common.outgoing import Outgoing
from chargekey_common.postgres import Postgres
from chargekey_common.process import Lifetime
from chargekey_common.testing.grpc import served
from chargekey_notifier.http.app import app
from chargekey_notifier.ocpi import cdrs, sessions, tables
from chargekey_notifier.ocpi.messages import Party
from chargekey_notifier.ocpi.objects import CDR
from chargekey_notifier.ocpi.together import Ocpi

from .given import HOUR, NOON, PLACE, started, stopped
from .msp import Msp

GrpcContext = aio.ServicerContext[Any, Any]
VOLT = "volt"
SECRET = b"a secret of thirty-two bytes, ok"
SITE = "3f0c5d52-8a39-4ad1-9f4c-0d5a3b1f7e11"
CHARGER = "71aa0c44-1d5e-4a0b-9d3e-6b8f2c4e5d33"
EVSE = "71aa0c441d5e4a0b9d3e6b8f2c4e5d33*1"


class EndpointUnknownError(NotFoundError):
    code = "decision_endpoint_unknown"
    sentence = "There is none."


class Access(decision_endpoints_pb2_grpc.DecisionEndpointServiceServicer):
    def __init__(self) -> None:
        self.endpoint: decision_endpoints_pb2.SetDecisionEndpointRequest | None = None
        self.failures: list[ChargekeyError] = []

    async def SetDecisionEndpoint(
        self, request: decision_endpoints_pb2.SetDecisionEndpointRequest, _: GrpcContext
    ) -> decision_endpoints_pb2.SetDecisionEndpointResponse:
        if self.failures:
            raise self.failures.pop()
        self.endpoint = request
        return decision_endpoints_pb2.SetDecisionEndpointResponse()

    async def RemoveDecisionEndpoint(
        self, _: decision_endpoints_pb2.RemoveDecisionEndpointRequest, __: GrpcContext
    ) -> decision_endpoints_pb2.RemoveDecisionEndpointResponse:
        self.endpoint = None
        return decision_endpoints_pb2.RemoveDecisionEndpointResponse()

    async def GetDecisionEndpoint(
        self, _: decision_endpoints_pb2.GetDecisionEndpointRequest, __: GrpcContext
    ) -> decision_endpoints_pb2.GetDecisionEndpointResponse:
        if self.endpoint is None:
            raise EndpointUnknownError
        return decision_endpoints_pb2.GetDecisionEndpointResponse(
            kind=self.endpoint.kind, url=self.endpoint.url, secret=self.endpoint.secret
        )


class Gateway(operators_pb2_grpc.OperatorServiceServicer):
    """Remembers what it is told, and answers what the test says."""

    def __init__(self) -> None:
        self.whitelisted: dict[str, tuple[bool, str]] = {}
        self.references: dict[str, str] = {}
        self.asked: list[Any] = []
        self.verdict = operators_pb2.AuthorizeForOperatorResponse()
        self.outcome = "accepted"
        self.refusal: ChargekeyError | None = None
        self.turn: Any = None

    async def RememberTokens(
        self, request: operators_pb2.RememberTokensRequest, _: GrpcContext
    ) -> operators_pb2.RememberTokensResponse:
        for each in request.tokens:
            self.whitelisted[each.uid] = (each.valid, each.whitelist)
            self.references[each.uid] = each.reference
        return operators_pb2.RememberTokensResponse()

    async def AuthorizeForOperator(
        self, request: operators_pb2.AuthorizeForOperatorRequest, _: GrpcContext
    ) -> operators_pb2.AuthorizeForOperatorResponse:
        await self._heard(request)
        return self.verdict

    async def StartForOperator(
        self, request: operators_pb2.StartForOperatorRequest, _: GrpcContext
    ) -> operators_pb2.StartForOperatorResponse:
        return operators_pb2.StartForOperatorResponse(outcome=await self._heard(request))

    async def StopForOperator(
        self, request: operators_pb2.StopForOperatorRequest, _: GrpcContext
    ) -> operators_pb2.StopForOperatorResponse:
        return operators_pb2.StopForOperatorResponse(outcome=await self._heard(request))

    async def UnlockForOperator(
        self, request: operators_pb2.UnlockForOperatorRequest, _: GrpcContext
    ) -> operators_pb2.UnlockForOperatorResponse:
        return operators_pb2.UnlockForOperatorResponse(outcome=await self._heard(request))

    async def _heard(self, request: Any) -> commands_pb2.CommandOutcome:
        self.asked.append(request)
        if self.turn is not None:
            await self.turn.wait()
        if self.refusal is not None:
            raise self.refusal
        return commands_pb2.CommandOutcome(outcome=self.outcome)


async def only_the_notifier(caller: Caller, action: str, obj: str) -> None:
    allowed = action.startswith("gateway.") or "DecisionEndpoint" in action
    if caller != service_account("notifier") or not allowed or obj != f"partner:{VOLT}":
        raise PermissionDeniedError


class Us:
    """Everything of ours that answers operators and keeps connections in order."""

    def __init__(self, where: Path | Postgres, msp: Msp) -> None:
        self.where = where
        self.msp = msp
        self.access = Access()
        self.gateway = Gateway()
        self.ocpi: Ocpi
        self.http: httpx2.AsyncClient
        self.url = ""
        self._commands = 0

    def context(self, command_id: str = "") -> Context:
        self._commands += 1
        return Context(
            actor="administrator:local", command_id=command_id or f"command-{self._commands}"
        )

    async def offered(self) -> str:
        """Offer the operator a connection; return what it registers with."""
        return await self.ocpi.connecting.offer(self.context(), VOLT)

    async def registered(self) -> str:
        """Have the operator register by an offer; return what it calls us with."""
        self.msp.called_with = "token-b"
        answer = await self.call(
            "POST", "/2.2.1/credentials", await self.offered(), self.msp.mine("token-b")
        )
        secret: str = answer["data"]["token"]
        return secret

    async def bills(self, secret: str, reference: str) -> Any:
        """Return the CDR of a charge that is known by this, as the operator pulls it."""
        events = (started(reference=reference), stopped(3500, at=NOON + HOUR))
        charge = reduce(sessions.after, events, None)
        assert charge is not None
        with self.ocpi.objects.changing(VOLT, NOON) as changes:
            changes.put(CDR, cdrs.settled(charge, PLACE))
        (cdr,) = (await self.call("GET", "/cpo/2.2.1/cdrs", secret))["data"]
        return cdr

    async def call(
        self,
        method: str,
        path: str,
        secret: str,
        body: object = None,
        *,
        expected: tuple[int, int] = (200, 1000),
    ) -> Any:
        """Call us as the operator does; return the envelope."""
        answer = await self.http.request(
            method, f"/ocpi{path}", json=body, headers={"authorization": self.msp.header(secret)}
        )
        envelope = answer.json()
        assert (answer.status_code, envelope["status_code"]) == expected, envelope
        return envelope


@contextlib.asynccontextmanager
async def us(
    where: Path | Postgres, msp: Msp, directory: Path, *, secret: bytes = SECRET
) -> AsyncIterator[Us]:
    """Give our side, answering."""
    here = Us(where, msp)
    async with AsyncExitStack() as until:
        me = service_account("notifier")
        msp.called_with = "token-a-of-volt"
        access = await until.enter_async_context(
            served(_access(here.access), directory, only_the_notifier)
        )
        gateway = await until.enter_async_context(
            served(_gateway(here.gateway), directory, only_the_notifier)
        )
        outgoing = await until.enter_async_context(Outgoing(deadline=5, anywhere=True))
        database = tables.opened(where)
        until.callback(database.close)
        answering = app()
        server = HttpServer(answering, "127.0.0.1:0")
        here.url = f"http://127.0.0.1:{server.port}"
        here.ocpi = Ocpi(
            database,
            secret,
            outgoing,
            Party(country_code="NO", party_id="CKY", name="Chargekey"),
            access=access(me),
            gateway=gateway(me),
            public_url=here.url,
            currency="NOK",
        )
        answering.router.routes.extend(here.ocpi.routes())
        lifetime = Lifetime()
        lifetime.own(here.ocpi.keeping.run(), "keeping")
        lifetime.closing.push_async_callback(here.ocpi.commands.close)
        lifetime.own(server.run(), "http")
        lifetime.closing.push_async_callback(server.stop)
        here.http = await until.enter_async_context(httpx2.AsyncClient(base_url=here.url))
        try:
            yield here
        finally:
            assert await lifetime.close()


def _access(access: Access) -> Service:
    return Service(
        "chargekey.access.v1.DecisionEndpointService",
        decision_endpoints_pb2_grpc.add_DecisionEndpointServiceServicer_to_server,
        access,
        {
            name: lambda request: f"partner:{request.partner_id}"
            for name in ("SetDecisionEndpoint", "RemoveDecisionEndpoint", "GetDecisionEndpoint")
        },
    )


def _gateway(gateway: Gateway) -> Service:
    return Service(
        "chargekey.gateway.v1.OperatorService",
        operators_pb2_grpc.add_OperatorServiceServicer_to_server,
        gateway,
        {
            name: lambda request: f"partner:{request.partner_id}"
            for name in (
                "RememberTokens",
                "AuthorizeForOperator",
                "StartForOperator",
                "StopForOperator",
                "UnlockForOperator",
            )
        },
    )
