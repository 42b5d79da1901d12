"""`/administration/health`: how every service is, and how far it is in each stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.audit.v1 import audit_pb2, standing_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey_portal.administrators import Acting, Administrator
from chargekey_portal.live import live
from chargekey_portal.refusals import Refusal, is_away, refusal_of
from chargekey_portal.rendering import page, rendered
from chargekey_portal.services import Services, State

if TYPE_CHECKING:
    # Known to the types alone.
    from chargekey.audit.v1.audit_pb2_grpc import AuditServiceAsyncStub
    from chargekey.audit.v1.standing_pb2_grpc import StandingServiceAsyncStub

router = APIRouter()

HEALTH = "/administration/health"
# Seconds for all stores to be compared.
PATIENCE = 60.0


class ServiceHealth(msgspec.Struct, frozen=True):
    """A service, and how far it is by its own word: nothing where it cannot be asked."""

    name: str
    state: State
    standings: Sequence[standing_pb2.Standing]


class Health(msgspec.Struct, frozen=True):
    """All of them, and how many chargers are connected; None where nobody can tell."""

    services: Sequence[ServiceHealth]
    connections: int | None


class Compared(msgspec.Struct, frozen=True):
    """What came of comparing a service's store with its stream: a result, or why there is none.

    Neither where that takes longer than PATIENCE.
    """

    service: str
    result: audit_pb2.Result | None = None
    refusal: Refusal | None = None


@router.get(HEALTH)
async def health(request: Request, administrator: Acting) -> Response:
    """Show it, as it is now and as it changes."""
    return await _health(request, administrator)


@router.get(f"{HEALTH}/live")
async def live_health(request: Request, administrator: Acting) -> Response:
    """Send it whenever it is another one."""

    async def look() -> Mapping[str, str]:
        now = await _now(request, administrator)
        part = "administration/health_state"
        return {part: rendered(request, part, administrator=administrator, health=now)}

    return live(request, look)


@router.post(f"{HEALTH}/compare")
async def compare(request: Request, administrator: Acting) -> Response:
    """Compare every store with its stream, and show what came of it."""
    audits = administrator.services.audits
    compared = await asyncio.gather(*(_compared(name, each) for name, each in audits.items()))
    return await _health(request, administrator, compared)


async def _health(
    request: Request, administrator: Administrator, compared: Sequence[Compared] = ()
) -> Response:
    return page(
        request,
        "administration/health",
        administrator=administrator,
        health=await _now(request, administrator),
        compared=compared,
    )


async def _now(request: Request, administrator: Administrator) -> Health:
    services: Services = request.app.state.services
    asked = administrator.services.standings
    states, connections, standings = await asyncio.gather(
        services.ask(),
        _connections(administrator),
        asyncio.gather(*map(_standings, asked.values())),
    )
    told = dict(zip(asked, standings, strict=True))
    return Health(
        [ServiceHealth(each.name, each.state, told[each.name]) for each in states], connections
    )


async def _standings(service: StandingServiceAsyncStub) -> Sequence[standing_pb2.Standing]:
    try:
        return (await service.ListStandings(standing_pb2.ListStandingsRequest())).standings
    except aio.AioRpcError as error:
        if not is_away(error):
            raise
        return ()


async def _connections(administrator: Administrator) -> int | None:
    asked = gateway_pb2.ListConnectionsRequest()
    try:
        return len((await administrator.services.gateway.ListConnections(asked)).connections)
    except aio.AioRpcError as error:
        if not is_away(error):
            raise
        return None


async def _compared(service: str, audit: AuditServiceAsyncStub) -> Compared:
    try:
        async with asyncio.timeout(PATIENCE):
            async for told in audit.Verify(audit_pb2.VerifyRequest()):
                if told.HasField("result"):
                    return Compared(service, result=told.result)
    except TimeoutError:
        pass
    except aio.AioRpcError as error:
        return Compared(service, refusal=refusal_of(error))
    return Compared(service)
