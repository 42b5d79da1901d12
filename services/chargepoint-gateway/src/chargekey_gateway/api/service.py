"""The gRPC service: the same decision that chargers get, asked by people and programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from grpc import aio

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey.gateway.v1 import gateway_pb2_grpc
from chargekey_common.grpc.server import SYSTEM, Objects, Service, current_caller
from chargekey_common.keyed_ids import CodeClass
from chargekey_common.positions import Position
from chargekey_gateway.api.errors import (
    MOST_CHARGERS,
    MOST_POSITIONS,
    ChargerNotNamedError,
    TooManyChargersError,
    TooManyPositionsError,
    TypeMismatchError,
    TypeUnknownError,
)
from chargekey_gateway.api.pin_questions import PinQuestions
from chargekey_gateway.api.steps import OPERATOR_DECIDES, told
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import AskOperator, Status
from chargekey_gateway.view.entries import Charger

NAME = "chargekey.gateway.v1.GatewayService"
LONGEST_WAIT = 4.0  # seconds for the view to get where `at_least` wants it

_STATUS: dict[Status, Any] = {
    Status.ACCEPTED: pb.AUTHORIZATION_STATUS_ACCEPTED,
    Status.BLOCKED: pb.AUTHORIZATION_STATUS_BLOCKED,
    Status.EXPIRED: pb.AUTHORIZATION_STATUS_EXPIRED,
    Status.INVALID: pb.AUTHORIZATION_STATUS_INVALID,
    Status.CONCURRENT_TX: pb.AUTHORIZATION_STATUS_CONCURRENT_TX,
}

_CLASSES: dict[int, CodeClass | None] = {
    pb.TOKEN_TYPE_UNSPECIFIED: None,
    pb.TOKEN_TYPE_RFID: CodeClass.UID,
    pb.TOKEN_TYPE_PIN: CodeClass.PIN,
}

Context = aio.ServicerContext[Any, Any]


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """Every method of gateway.proto."""

    def __init__(self, gateway: Gateway, chargers: OcppServer, clock: Callable[[], int]) -> None:
        self._gateway = gateway
        self._pin_questions = PinQuestions(clock)
        self._chargers = chargers

    async def Authorize(self, request: pb.AuthorizeRequest, _: Context) -> pb.AuthorizeResponse:
        if request.type not in _CLASSES:
            raise TypeUnknownError
        is_pin = request.code.startswith("#")
        if request.type and is_pin != (request.type == pb.TOKEN_TYPE_PIN):
            raise TypeMismatchError
        if len(request.at_least) > MOST_POSITIONS:
            raise TooManyPositionsError
        positions = [Position.parse(text) for text in request.at_least]
        await self._gateway.view.wait_for(positions, LONGEST_WAIT)
        announced = _CLASSES[request.type]
        charger = self._charger(request)
        if is_pin and charger is not None:
            self._pin_questions.ask(current_caller(), charger.installation.id)
        run = self._gateway.deciding.dry_run(charger, request.code, announced)
        decision = run.decision
        if isinstance(decision, AskOperator):
            # UNSPECIFIED: who is not asked has not decided.
            return pb.AuthorizeResponse(
                reason=OPERATOR_DECIDES,
                positions=run.positions,
                explanation=run.explanation if request.explain else (),
                steps=told(run.steps) if request.explain else (),
            )
        return pb.AuthorizeResponse(
            status=_STATUS[decision.status],
            reason=decision.reason,
            valid_until=decision.valid_until,
            permission_id=decision.permission_id or "",
            identification_id=decision.identification_id or "",
            positions=run.positions,
            explanation=run.explanation if request.explain else (),
            steps=told(run.steps) if request.explain else (),
        )

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
            "Authorize": self._charger_object,
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

    def _charger(self, request: pb.AuthorizeRequest) -> Charger | None:
        if bool(request.charger_id) == bool(request.ocpp_identity):
            raise ChargerNotNamedError
        if request.charger_id:
            return self._gateway.view.charger(request.charger_id)
        return self._gateway.charger_by_identity(request.ocpp_identity)

    async def _charger_object(self, request: pb.AuthorizeRequest) -> str:
        charger = self._charger(request)
        # A charger this view has not heard of yet may be one that access knows.
        return f"charger:{request.charger_id or 'unknown' if charger is None else charger.id}"


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
        NAME, gateway_pb2_grpc.add_GatewayServiceServicer_to_server, servicer, servicer.objects()
    )
