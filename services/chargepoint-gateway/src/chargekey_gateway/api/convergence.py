"""The gRPC service that tells how far chargers have what they should have."""

from __future__ import annotations

from typing import Any

from grpc import aio

from chargekey.gateway.v1 import convergence_pb2 as pb
from chargekey.gateway.v1 import convergence_pb2_grpc
from chargekey_common.grpc.server import Objects, Service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway

NAME = "chargekey.gateway.v1.ConvergenceService"

Context = aio.ServicerContext[Any, Any]


class ConvergenceServicer(convergence_pb2_grpc.ConvergenceServiceServicer):
    """The one method of convergence.proto: any replica answers for every charger."""

    def __init__(self, gateway: Gateway, chargers: OcppServer) -> None:
        self._gateway = gateway
        self._chargers = chargers

    async def ListConvergence(
        self, request: pb.ListConvergenceRequest, _: Context
    ) -> pb.ListConvergenceResponse:
        view = self._gateway.view
        if request.WhichOneof("which") == "charger_id":
            charger = view.charger(request.charger_id)
            chargers = [] if charger is None else [charger]
        else:
            standing = view.chargers_at(request.installation_id)
            chargers = sorted(standing, key=lambda each: each.id)
        online = {presence.charger_id for presence in await self._chargers.presences(chargers)}
        states = []
        for each in chargers:
            await self._gateway.convergence.prepare(each)
            states.append(self._gateway.convergence.state(each, online=each.id in online))
        return pb.ListConvergenceResponse(
            chargers=[
                pb.Convergence(
                    charger_id=state.charger_id,
                    online=state.online,
                    local_list_supported=state.list_supported,
                    list_version_wanted=state.list_version_wanted,
                    list_version_confirmed=state.list_version_confirmed,
                    list_entries_wanted=state.list_entries_wanted,
                    list_entries_confirmed=state.list_entries_confirmed,
                    pending=[step.value for step in state.pending],
                    pending_since=state.pending_since,
                    reboot_required=state.reboot_required,
                    converged_at=state.converged_at,
                )
                for state in states
            ]
        )

    def objects(self) -> Objects:
        """Return what the method's request is about."""
        return {"ListConvergence": _object}


def _object(request: pb.ListConvergenceRequest) -> str:
    if request.WhichOneof("which") == "charger_id":
        return f"charger:{request.charger_id}"
    return f"installation:{request.installation_id}"


def service(gateway: Gateway, chargers: OcppServer) -> Service:
    """Return the service, to be served."""
    servicer = ConvergenceServicer(gateway, chargers)
    return Service(
        NAME,
        convergence_pb2_grpc.add_ConvergenceServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )
