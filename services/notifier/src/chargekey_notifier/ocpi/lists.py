"""What operators pull (§8.2.1, §9.2.1, §10.2.1): locations, sessions and CDRs, in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute

from chargekey_notifier.ocpi.http import UNKNOWN_LOCATION, Answer, Door, OcpiError, page
from chargekey_notifier.ocpi.messages import VERSION, Message, Module
from chargekey_notifier.ocpi.objects import (
    CDR,
    LOCATION,
    SESSION,
    Kind,
    Object,
    Objects,
    State,
)
from chargekey_notifier.ocpi.peers import Peer
from chargekey_notifier.ocpi.telling import Teller

_BASE = f"/ocpi/cpo/{VERSION}"
# Told among what we answer, by their paths.
MODULES = tuple(
    Module(identifier=each, role="SENDER", url=f"{_BASE}/{each}")
    for each in ("cdrs", "locations", "sessions")
)


class Lists:
    """Answers from what is kept, whether it was pushed or not."""

    def __init__(self, door: Door, objects: Objects, teller: Teller) -> None:
        self._door = door
        self._objects = objects
        self._teller = teller

    def routes(self) -> Sequence[BaseRoute]:
        """Return where they are answered."""
        location = f"{_BASE}/locations/{{location_id}}"
        evse = f"{location}/{{evse_uid}}"
        return [
            self._door.route(f"{_BASE}/locations", get=self._locations),
            self._door.route(location, get=self._location),
            self._door.route(evse, get=self._location),
            self._door.route(f"{evse}/{{connector_id}}", get=self._location),
            self._door.route(f"{_BASE}/sessions", get=self._sessions),
            self._door.route(f"{_BASE}/cdrs", get=self._cdrs),
        ]

    async def _locations(self, request: Request, peer: Peer) -> Answer:
        return await self._page(
            request, peer, LOCATION, lambda site, _: self._teller.location(site)
        )

    async def _sessions(self, request: Request, peer: Peer) -> Answer:
        return await self._page(request, peer, SESSION, self._teller.session)

    async def _cdrs(self, request: Request, peer: Peer) -> Answer:
        return await self._page(request, peer, CDR, self._teller.cdr)

    async def _page(
        self,
        request: Request,
        peer: Peer,
        kind: Kind[State],
        tell: Callable[[Object[State], Peer], Message],
    ) -> Answer:
        """Answer the part of a list that is asked for, each entry as it is told."""
        wanted = page(request)

        def read() -> tuple[Sequence[Message], int]:
            found, total = self._objects.page(peer.partner_id, kind, wanted)
            return [tell(each, peer) for each in found], total

        told, total = await asyncio.to_thread(read)
        return self._door.paged(request, wanted, told, total)

    async def _location(self, request: Request, peer: Peer) -> Answer:
        asked = request.path_params
        found = await asyncio.to_thread(
            self._objects.get, peer.partner_id, LOCATION, asked["location_id"].lower()
        )
        if found is None:
            raise _unknown()
        location = self._teller.location(found)
        if "evse_uid" not in asked:
            return Answer(data=location)
        for evse in location.evses:
            if evse.uid == asked["evse_uid"].lower():
                if "connector_id" not in asked:
                    return Answer(data=evse)
                for connector in evse.connectors:
                    if connector.id == asked["connector_id"]:
                        return Answer(data=connector)
        raise _unknown()


def _unknown() -> OcpiError:
    return OcpiError(UNKNOWN_LOCATION, "There is no such location, EVSE or connector.", http=404)
