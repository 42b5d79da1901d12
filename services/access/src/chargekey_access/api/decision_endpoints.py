"""Decision endpoints over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from grpc import aio

from chargekey.access.v1 import decision_endpoints_pb2 as pb
from chargekey.access.v1 import decision_endpoints_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.words import ENDPOINT_KIND_NUMBERS, ENDPOINT_KINDS
from chargekey_access.application.decision_endpoints import DecisionEndpoints
from chargekey_access.domain.errors import EndpointKindMissingError
from chargekey_access.domain.events import OcpiParties
from chargekey_common.grpc.server import Objects, Service, command_context

NAME = "chargekey.access.v1.DecisionEndpointService"

Context = aio.ServicerContext[Any, Any]


class DecisionEndpointServicer(decision_endpoints_pb2_grpc.DecisionEndpointServiceServicer):
    """Every method of decision_endpoints.proto."""

    def __init__(self, endpoints: DecisionEndpoints) -> None:
        self._endpoints = endpoints

    async def SetDecisionEndpoint(
        self, request: pb.SetDecisionEndpointRequest, _: Context
    ) -> pb.SetDecisionEndpointResponse:
        if request.kind not in ENDPOINT_KINDS:
            raise EndpointKindMissingError
        secret, answer = await asyncio.to_thread(
            self._endpoints.set_,
            command_context(request),
            partner_id=request.partner_id,
            kind=ENDPOINT_KINDS[request.kind],
            url=request.url,
            given=request.secret,
            parties=_parties(request.parties) if request.HasField("parties") else None,
        )
        return pb.SetDecisionEndpointResponse(secret=secret, position=str(answer.position))

    async def RemoveDecisionEndpoint(
        self, request: pb.RemoveDecisionEndpointRequest, _: Context
    ) -> pb.RemoveDecisionEndpointResponse:
        answer = await asyncio.to_thread(
            self._endpoints.remove, command_context(request), partner_id=request.partner_id
        )
        return pb.RemoveDecisionEndpointResponse(position=str(answer.position))

    async def GetDecisionEndpoint(
        self, request: pb.GetDecisionEndpointRequest, _: Context
    ) -> pb.GetDecisionEndpointResponse:
        found = await asyncio.to_thread(self._endpoints.get, request.partner_id)
        return pb.GetDecisionEndpointResponse(
            kind=ENDPOINT_KIND_NUMBERS[found.kind],
            url=found.url,
            secret=found.secret,
            parties=_told(found.parties),
        )

    async def DescribeDecisionEndpoint(
        self, request: pb.DescribeDecisionEndpointRequest, _: Context
    ) -> pb.DescribeDecisionEndpointResponse:
        found = await asyncio.to_thread(self._endpoints.describe, request.partner_id)
        return pb.DescribeDecisionEndpointResponse(
            kind=ENDPOINT_KIND_NUMBERS[found.kind], url=found.url, parties=_told(found.parties)
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "SetDecisionEndpoint": objects.partner,
            "RemoveDecisionEndpoint": objects.partner,
            "GetDecisionEndpoint": objects.partner,
            "DescribeDecisionEndpoint": objects.partner,
        }


def service(endpoints: DecisionEndpoints) -> Service:
    """Return the service, to be served."""
    servicer = DecisionEndpointServicer(endpoints)
    return Service(
        NAME,
        decision_endpoints_pb2_grpc.add_DecisionEndpointServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def _parties(parties: pb.OcpiParties) -> OcpiParties:
    return OcpiParties(
        parties.from_country_code,
        parties.from_party_id,
        parties.to_country_code,
        parties.to_party_id,
    )


def _told(parties: OcpiParties | None) -> pb.OcpiParties | None:
    return None if parties is None else pb.OcpiParties(**msgspec.structs.asdict(parties))
