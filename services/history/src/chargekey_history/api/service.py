"""The gRPC service: what was, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from grpc import aio

from chargekey.history.v1 import history_pb2 as pb
from chargekey.history.v1 import history_pb2_grpc
from chargekey_common.grpc.server import Objects, Service
from chargekey_history.api.access import Access
from chargekey_history.errors import LimitMalformedError
from chargekey_history.projections.past import Filter, Past, Refusal, Session

NAME = "chargekey.history.v1.HistoryService"
DEFAULT_LIMIT = 100
HIGHEST_LIMIT = 1000

Context = aio.ServicerContext[Any, Any]


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    """Every method of history.proto."""

    def __init__(self, past: Past, access: Access) -> None:
        self._past = past
        self._access = access

    async def ListSessions(
        self, request: pb.ListSessionsRequest, _: Context
    ) -> pb.ListSessionsResponse:
        wanted = Filter(
            installation_id=request.installation_id,
            charger_id=request.charger_id,
            user_id=request.user_id,
            running_only=request.running_only,
            limit=_limit(request.limit),
        )
        found = await asyncio.to_thread(self._past.sessions, wanted)
        await self._require(wanted, found)
        return pb.ListSessionsResponse(sessions=[_session(session) for session in found])

    async def ListRefusals(
        self, request: pb.ListRefusalsRequest, _: Context
    ) -> pb.ListRefusalsResponse:
        wanted = Filter(
            installation_id=request.installation_id,
            charger_id=request.charger_id,
            user_id=request.user_id,
            limit=_limit(request.limit),
        )
        found = await asyncio.to_thread(self._past.refusals, wanted)
        await self._require(wanted, found)
        return pb.ListRefusalsResponse(refusals=[_refusal(refusal) for refusal in found])

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {"ListSessions": self._installation, "ListRefusals": self._installation}

    async def _require(self, wanted: Filter, found: Sequence[object]) -> None:
        """Raise where nothing was found because there is no such installation, charger or user.

        Nobody is asked after otherwise: what is there no more has a past.
        """
        if not found:
            await self._access.require(
                installation_id=wanted.installation_id,
                charger_id=wanted.charger_id,
                user_id=wanted.user_id,
            )

    async def _installation(self, request: pb.ListSessionsRequest | pb.ListRefusalsRequest) -> str:
        """Return the installation that all the answer can be of, or the system for several."""
        installation_id: str | None = request.installation_id
        if not installation_id and request.charger_id:
            installation_id = await asyncio.to_thread(
                self._past.installation_of, request.charger_id
            )
        return f"installation:{installation_id}" if installation_id else "system"


def service(past: Past, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = HistoryServicer(past, access)
    return Service(
        NAME, history_pb2_grpc.add_HistoryServiceServicer_to_server, servicer, servicer.objects()
    )


def _limit(asked: int) -> int:
    if asked < 0:
        raise LimitMalformedError
    return min(asked or DEFAULT_LIMIT, HIGHEST_LIMIT)


def _session(session: Session) -> pb.Session:
    return pb.Session(
        id=session.id,
        transaction_id=session.transaction_id,
        installation_id=session.installation_id,
        charger_id=session.charger_id,
        connector=session.connector,
        user_id=session.user_id or "",
        identification_id=session.identification_id or "",
        reason=session.reason,
        started_at=session.started_at,
        ended_at=session.ended_at,
        end_reason=session.end_reason or "",
        energy_wh=session.energy_wh,
    )


def _refusal(refusal: Refusal) -> pb.Refusal:
    return pb.Refusal(
        id=refusal.id,
        installation_id=refusal.installation_id,
        charger_id=refusal.charger_id,
        user_id=refusal.user_id or "",
        identification_id=refusal.identification_id or "",
        status=refusal.status,
        reason=refusal.reason,
        at=refusal.at,
        stage=refusal.stage,
    )
