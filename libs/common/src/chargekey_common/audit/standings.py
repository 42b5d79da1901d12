"""How far a service is in what it reads and tells, served beside the service itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from grpc import aio

from chargekey.audit.v1 import standing_pb2 as pb
from chargekey.audit.v1 import standing_pb2_grpc
from chargekey_common.grpc.server import SYSTEM, Service
from chargekey_common.standing import Standing

NAME = "chargekey.audit.v1.StandingService"

Ask = Callable[[], Awaitable[Sequence[Standing]]]
"""What tells how far a part of the service is, within a deadline of its own; raises nothing."""


class Standings(standing_pb2_grpc.StandingServiceServicer):
    """Every method of standing.proto, over what is included."""

    def __init__(self, *asks: Ask) -> None:
        self._asks = list(asks)

    def include(self, *asks: Ask) -> None:
        """Tell of these, too: of what begins after the service is served."""
        self._asks += asks

    async def ListStandings(  # noqa: N802 - its name is the protocol's
        self, _: pb.ListStandingsRequest, __: aio.ServicerContext[Any, Any]
    ) -> pb.ListStandingsResponse:
        """List them, as the proto says; all are asked at once."""
        found = await asyncio.gather(*(each() for each in self._asks))
        return pb.ListStandingsResponse(
            standings=[_standing(each) for some in found for each in some]
        )

    def service(self) -> Service:
        """Return the service, to be served."""
        return Service(
            NAME,
            standing_pb2_grpc.add_StandingServiceServicer_to_server,
            self,
            {"ListStandings": lambda _: SYSTEM},
        )


def _standing(standing: Standing) -> pb.Standing:
    return pb.Standing(
        part=standing.part,
        stream=standing.stream,
        generation=standing.generation,
        applied=standing.applied,
        last=standing.last,
        behind=standing.behind,
        moved_at=standing.moved_at,
    )
