"""Where operators answer: told by the ACCESS stream that it changed, fetched from access, kept.

Fetched apart from the questions, so that these find it in memory; while access is away
the last one known is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from grpc import StatusCode, aio

from chargekey.access.v1 import decision_endpoints_pb2 as pb
from chargekey.access.v1 import decision_endpoints_pb2_grpc
from chargekey_gateway.operators.question import Endpoint, Kind, OcpiParties

DEADLINE = 2.0  # seconds for one call
PAUSE = 1.0  # seconds before what failed is tried again

_KINDS: Mapping[int, Kind] = {
    pb.DECISION_ENDPOINT_KIND_OCPI: "OCPI",
    pb.DECISION_ENDPOINT_KIND_OCPI_PLAIN: "OCPI_PLAIN",
    pb.DECISION_ENDPOINT_KIND_WEBHOOK: "WEBHOOK",
}

log = structlog.get_logger()


class Endpoints:
    """Keeps them in memory; `run` must be running. Belongs to one event loop."""

    def __init__(self, access: aio.Channel, *, pause: float = PAUSE) -> None:
        """Fetch over `access`, again after `pause` seconds where that fails."""
        self._access = decision_endpoints_pb2_grpc.DecisionEndpointServiceStub(access)
        self._pause = pause
        self._known: dict[str, Endpoint | None] = {}
        self._wanted: dict[str, None] = {}  # a set that keeps its order
        self._arrived = asyncio.Event()
        # For whoever asks before the first answer.
        self._firsts: dict[str, asyncio.Event] = {}

    def changed(self, partner_id: str) -> None:
        """Fetch it anew: the stream says that it was set or removed."""
        self._wanted[partner_id] = None
        self._firsts.setdefault(partner_id, asyncio.Event())
        self._arrived.set()

    def all_changed(self) -> None:
        """Fetch all of them anew: access's store is another."""
        for partner_id in self._firsts:
            self.changed(partner_id)

    async def of(self, partner_id: str) -> Endpoint | None:
        """Return where this operator answers, if it says so anywhere.

        Waits for the first answer of access, without a limit: give it one.
        """
        first = self._firsts.get(partner_id)
        if first is None:
            return None
        await first.wait()
        return self._known[partner_id]

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            while self._wanted:
                partner_id = next(iter(self._wanted))
                del self._wanted[partner_id]  # before: what changes meanwhile is fetched again
                if not await self._fetch(partner_id):
                    self._wanted[partner_id] = None
                    await asyncio.sleep(self._pause)
            self._arrived.clear()
            await self._arrived.wait()

    async def _fetch(self, partner_id: str) -> bool:
        try:
            found = await self._access.GetDecisionEndpoint(
                pb.GetDecisionEndpointRequest(partner_id=partner_id), timeout=DEADLINE
            )
        except aio.AioRpcError as error:
            if error.code() is not StatusCode.NOT_FOUND:
                log.warning("decision_endpoint_not_fetched", status=error.code().name)
                return False
            endpoint = None
        else:
            kind = _KINDS.get(found.kind)
            if kind is None:
                log.error("decision_endpoint_of_unknown_kind", kind=found.kind)
            parties = _parties(found.parties) if found.HasField("parties") else None
            endpoint = None if kind is None else Endpoint(kind, found.url, found.secret, parties)
        self._known[partner_id] = endpoint
        self._firsts[partner_id].set()
        return True


def _parties(parties: pb.OcpiParties) -> OcpiParties:
    return OcpiParties(
        parties.from_country_code,
        parties.from_party_id,
        parties.to_country_code,
        parties.to_party_id,
    )
