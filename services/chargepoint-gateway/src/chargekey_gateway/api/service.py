"""The gRPC service: the same decision that chargers get, asked by people and programs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any

import msgspec
from grpc import aio

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey.gateway.v1 import gateway_pb2_grpc
from chargekey_common.grpc.server import SYSTEM, Objects, Service
from chargekey_gateway.api.errors import MOST_CHARGERS, TooManyChargersError
from chargekey_gateway.api.questions import METHOD, Questions
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.view.entries import Charger

NAME = "chargekey.gateway.v1.GatewayService"

Context = aio.ServicerContext[Any, Any]


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """Every method of gateway.proto."""

    def __init__(self, gateway: Gateway, chargers: OcppServer, clock: Callable[[], int]) -> None:
        self._gateway = gateway
        self._questions = Questions(gateway, clock)
        self._chargers = chargers

    async def Authorize(self, request: pb.AuthorizeRequest, _: Context) -> pb.AuthorizeResponse:
        return await self._questions.answer(request)

    async def AuthorizeBatch(
        self, request: pb.AuthorizeBatchRequest, _: Context
    ) -> pb.AuthorizeBatchResponse:
        outcomes = await self._questions.batch(request.questions)
        return pb.AuthorizeBatchResponse(outcomes=outcomes)

    async def AuthorizeStream(
        self, requests: AsyncIterator[pb.AuthorizeStreamRequest], _: Context
    ) -> AsyncIterator[pb.AuthorizeStreamResponse]:
        async with aclosing(self._questions.stream(requests)) as outcomes:
            async for outcome in outcomes:
                yield pb.AuthorizeStreamResponse(outcome=outcome)

    async def ListConnections(
        self, _: pb.ListConnectionsRequest, __: Context
    ) -> pb.ListConnectionsResponse:
        chargers = {charger.id: charger for charger in self._gateway.view.chargers()}
        return pb.ListConnectionsResponse(
            connections=[
                pb.Connection(
                    charger_id=presence.charger_id,
                    ocpp_identity=chargers[presence.charger_id].ocpp_identity,
                    ocpp_version=presence.ocpp_version,
                    connected_at=presence.connected_at,
                )
                for presence in await self._chargers.presences(chargers.values())
            ]
        )

    async def ListChargerStates(
        self, request: pb.ListChargerStatesRequest, _: Context
    ) -> pb.ListChargerStatesResponse:
        if len(request.charger_ids) > MOST_CHARGERS:
            raise TooManyChargersError
        wanted = sorted(self._wanted(request), key=lambda charger: charger.id)
        connected = {
            presence.charger_id: presence.state
            for presence in await self._chargers.presences(wanted)
        }
        offline = [charger for charger in wanted if charger.id not in connected]
        unknown = self._gateway.reports.states(offline, online=())
        states = connected | {state.charger_id: state for state in unknown}
        return pb.ListChargerStatesResponse(
            chargers=[
                pb.ChargerState(
                    charger_id=state.charger_id,
                    online=state.online,
                    connectors=[
                        pb.ConnectorState(**msgspec.structs.asdict(each))
                        for each in state.connectors
                    ],
                )
                for state in (states[charger.id] for charger in wanted)
            ]
        )

    async def ListRunningSessions(
        self, request: pb.ListRunningSessionsRequest, _: Context
    ) -> pb.ListRunningSessionsResponse:
        running = self._gateway.running.of_charger(request.charger_id)
        return pb.ListRunningSessionsResponse(
            session_ids=[session.session_id for session in running]
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "Authorize": self._questions.about,
            # Who is known may ask; of which charger is each question's matter.
            "AuthorizeBatch": lambda _: SYSTEM,
            "AuthorizeStream": lambda _: SYSTEM,
            "ListConnections": lambda _: SYSTEM,
            "ListChargerStates": _chargers_object,
            "ListRunningSessions": lambda request: f"charger:{request.charger_id}",
        }

    def _wanted(self, request: pb.ListChargerStatesRequest) -> Iterable[Charger]:
        view = self._gateway.view
        if request.WhichOneof("which") == "charger_id":
            charger = view.charger(request.charger_id)
            return [] if charger is None else [charger]
        if not request.charger_ids:
            return view.chargers_at(request.installation_id)
        named = filter(None, map(view.charger, set(request.charger_ids)))
        return [each for each in named if each.installation.id == request.installation_id]


def _chargers_object(request: pb.ListChargerStatesRequest) -> str:
    if request.WhichOneof("which") == "charger_id":
        return f"charger:{request.charger_id}"
    return f"installation:{request.installation_id}"


def service(
    gateway: Gateway, chargers: OcppServer, *, clock: Callable[[], int] = time.time_ns
) -> Service:
    """Return the service, to be served; `clock` tells nanoseconds."""
    servicer = GatewayServicer(gateway, chargers, clock)
    return Service(
        NAME,
        gateway_pb2_grpc.add_GatewayServiceServicer_to_server,
        servicer,
        servicer.objects(),
        remembered=frozenset({METHOD, "AuthorizeBatch", "AuthorizeStream"}),
    )
