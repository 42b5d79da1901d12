"""The gRPC service: connections with payment operators by OCPI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from grpc import aio

from chargekey.notifier.v1 import ocpi_pb2 as pb
from chargekey.notifier.v1 import ocpi_pb2_grpc
from chargekey_common.grpc.server import Objects, Service, command_context
from chargekey_notifier.api.partners import Partners
from chargekey_notifier.errors import (
    OcpiNotConnectedError,
    OcpiUnreachableError,
)
from chargekey_notifier.ocpi.peers import Peer
from chargekey_notifier.ocpi.together import Ocpi
from chargekey_notifier.reachable import reachable

NAME = "chargekey.notifier.v1.OcpiService"
# Seconds for an operator to answer all that a command asks it: less than a call may take.
LONGEST = 25.0

Context = aio.ServicerContext[Any, Any]
Result = TypeVar("Result")


class OcpiServicer(ocpi_pb2_grpc.OcpiServiceServicer):
    """Every method of ocpi.proto."""

    def __init__(self, ocpi: Ocpi, partners: Partners, *, public_url: str) -> None:
        self._ocpi = ocpi
        self._partners = partners
        self._versions_url = f"{public_url}/ocpi/versions"

    async def OfferOcpi(self, request: pb.OfferOcpiRequest, _: Context) -> pb.OfferOcpiResponse:
        await self._partners.require_operator(request.partner_id)
        offer = self._ocpi.connecting.offer(command_context(request), request.partner_id)
        return pb.OfferOcpiResponse(versions_url=self._versions_url, token=await _in_time(offer))

    async def ConnectOcpi(
        self, request: pb.ConnectOcpiRequest, _: Context
    ) -> pb.ConnectOcpiResponse:
        await self._partners.require_operator(request.partner_id)
        connect = self._ocpi.connecting.connect(
            command_context(request),
            request.partner_id,
            versions_url=request.versions_url,
            token=request.token,
        )
        await _in_time(connect)
        return pb.ConnectOcpiResponse()

    async def GetOcpiConnection(
        self, request: pb.GetOcpiConnectionRequest, _: Context
    ) -> pb.GetOcpiConnectionResponse:
        peer = await self._peer(request.partner_id)
        if peer is None:
            return pb.GetOcpiConnectionResponse()
        number = await _in_time(asyncio.to_thread(self._ocpi.tokens.count, request.partner_id))
        operator = peer.operator
        return pb.GetOcpiConnectionResponse(
            state=peer.state,
            versions_url=peer.versions_url,
            country_code="" if operator is None else operator.country_code,
            party_id="" if operator is None else operator.party_id,
            modules=[f"{each.identifier}:{each.role}" for each in peer.modules],
            tokens_encoded=peer.tokens_encoded,
            tokens=number,
        )

    async def DisconnectOcpi(
        self, request: pb.DisconnectOcpiRequest, _: Context
    ) -> pb.DisconnectOcpiResponse:
        context = command_context(request)
        await self._peer(request.partner_id)
        await _in_time(self._ocpi.connecting.disconnect(context, request.partner_id))
        return pb.DisconnectOcpiResponse()

    async def PullOcpiTokens(
        self, request: pb.PullOcpiTokensRequest, _: Context
    ) -> pb.PullOcpiTokensResponse:
        peer = await self._peer(request.partner_id)
        if peer is None or peer.state != "connected":
            raise OcpiNotConnectedError
        return pb.PullOcpiTokensResponse(tokens=await _in_time(self._ocpi.keeping.pull(peer)))

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "OfferOcpi": _partner,
            "ConnectOcpi": _partner,
            "GetOcpiConnection": _partner,
            "DisconnectOcpi": _partner,
            "PullOcpiTokens": _partner,
        }

    async def _peer(self, partner_id: str) -> Peer | None:
        """Return what there is between a partner and us; raises what `Partners.require` does."""
        peer = await _in_time(asyncio.to_thread(self._ocpi.peers.get, partner_id))
        if peer is not None and peer.state != "ended":
            return peer
        await self._partners.require(partner_id)
        return None


class _HasPartnerId(Protocol):
    partner_id: str


def _partner(request: _HasPartnerId) -> str:
    return f"partner:{request.partner_id}"


async def _in_time(work: Awaitable[Result]) -> Result:
    try:
        with reachable():
            async with asyncio.timeout(LONGEST):
                return await work
    except TimeoutError:
        raise OcpiUnreachableError from None


def service(ocpi: Ocpi, partners: Partners, *, public_url: str) -> Service:
    """Return the service, to be served."""
    servicer = OcpiServicer(ocpi, partners, public_url=public_url)
    return Service(
        NAME, ocpi_pb2_grpc.add_OcpiServiceServicer_to_server, servicer, servicer.objects()
    )
