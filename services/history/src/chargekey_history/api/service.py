"""The gRPC service: what was, newest first."""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

from grpc import aio

from chargekey.history.v1 import history_pb2 as pb
from chargekey.history.v1 import history_pb2_grpc
from chargekey_common import pages
from chargekey_common.accounts import is_administrator
from chargekey_common.grpc.server import Objects, Service, current_caller
from chargekey_common.pages import Page, PageTokenMalformedError
from chargekey_history.api.access import Access
from chargekey_history.errors import ChargerUnknownError
from chargekey_history.projections.past import Filter, Past, Place, Refusal, Session

NAME = "chargekey.history.v1.HistoryService"

Context = aio.ServicerContext[Any, Any]
Entry = TypeVar("Entry", Session, Refusal)
Request: TypeAlias = pb.ListSessionsRequest | pb.ListRefusalsRequest

# What a page token says inside: an entry's place, its numbers before its id.
_SESSION_PLACE = re.compile(r"(-?[0-9]{1,19})/([0-9]{1,19})/([^/]+)")
_REFUSAL_PLACE = re.compile(r"(-?[0-9]{1,19})/([^/]+)")
_HIGHEST = 2**63
# The installation that access was asked about, for the call that asked; empty for none.
_asked_about: contextvars.ContextVar[str] = contextvars.ContextVar("asked_about")


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    """Every method of history.proto."""

    def __init__(self, past: Past, access: Access) -> None:
        self._past = past
        self._access = access

    async def ListSessions(
        self, request: pb.ListSessionsRequest, _: Context
    ) -> pb.ListSessionsResponse:
        wanted = Filter(
            installation_id=_shown(request),
            charger_id=request.charger_id,
            user_id=request.user_id,
            running_only=request.running_only,
            limit=pages.size(request) + 1,
            behind=_place(request, _SESSION_PLACE),
        )
        found = await asyncio.to_thread(self._past.sessions, wanted)
        await self._require(wanted, found)
        page = _page(wanted, found)
        return pb.ListSessionsResponse(
            sessions=map(_session, page.entries), next_page_token=page.next_token
        )

    async def ListRefusals(
        self, request: pb.ListRefusalsRequest, _: Context
    ) -> pb.ListRefusalsResponse:
        wanted = Filter(
            installation_id=_shown(request),
            charger_id=request.charger_id,
            user_id=request.user_id,
            limit=pages.size(request) + 1,
            behind=_place(request, _REFUSAL_PLACE),
        )
        found = await asyncio.to_thread(self._past.refusals, wanted)
        await self._require(wanted, found)
        page = _page(wanted, found)
        return pb.ListRefusalsResponse(
            refusals=map(_refusal, page.entries), next_page_token=page.next_token
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {"ListSessions": self._object, "ListRefusals": self._object}

    async def _require(self, wanted: Filter, found: Sequence[object]) -> None:
        """Raise where nothing was found because there is no such installation, charger or user.

        Nobody is asked after otherwise: what is there no more has a past. Nor for who asks
        about himself, who is to learn of nothing else whether it is there.
        """
        if not found and not wanted.behind and not _is_caller(wanted.user_id):
            await self._access.require(
                installation_id=wanted.installation_id,
                charger_id=wanted.charger_id,
                user_id=wanted.user_id,
            )

    async def _object(self, request: Request) -> str:
        """Return what all the answer is of: one installation or, at several, one user.

        Wherever it is, who asks about himself asks about no site. Without either it is the
        system's, and for administrators alone.
        """
        own = _is_caller(request.user_id)
        installation_id = "" if own else request.installation_id
        if not (own or installation_id) and request.charger_id:
            installation_id = await self._site(request) or ""
        _asked_about.set(installation_id)
        if installation_id:
            return f"installation:{installation_id}"
        return f"user:{request.user_id}" if request.user_id else "system"

    async def _site(self, request: Request) -> str | None:
        """Return whose the charger's past is to see: the site's where it is now (R11).

        Of one that is there no more, and of a user's past at one, all the entries' site
        where it is one.
        """
        if not request.user_id:
            try:
                return await self._access.installation_of(request.charger_id)
            except ChargerUnknownError:
                pass  # it may have a past
        return await asyncio.to_thread(self._past.installation_of, request.charger_id)


def service(past: Past, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = HistoryServicer(past, access)
    return Service(
        NAME, history_pb2_grpc.add_HistoryServiceServicer_to_server, servicer, servicer.objects()
    )


def _is_caller(user_id: str) -> bool:
    return current_caller() == f"user:{user_id}"


def _shown(request: Request) -> str:
    """Return the installation whose entries alone are told; empty for every one's.

    A charger that moved has entries of others' sites too: these are administrators' to see.
    """
    if request.installation_id or is_administrator(current_caller()):
        return request.installation_id
    return _asked_about.get()


def _place(asked: pages.Asked, form: re.Pattern[str]) -> Place:
    """Return the place that the page begins behind; raises PageTokenMalformedError."""
    if not asked.page_token:
        return ()
    match = form.fullmatch(pages.anchor(asked))
    if match is None:
        raise PageTokenMalformedError
    *numbers, key = match.groups()
    place = [int(number) for number in numbers]
    if any(abs(number) >= _HIGHEST for number in place):
        raise PageTokenMalformedError
    return *place, key


def _page(wanted: Filter, found: Sequence[Entry]) -> Page[Entry]:
    """Return the page; of what was found one more than fits tells of another."""
    entries = list(found[: wanted.limit - 1])
    if len(entries) == len(found):
        return Page(entries, "")
    return Page(entries, pages.token_of("/".join(map(str, entries[-1].place))))


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
        offline=session.offline,
        presumed=session.presumed,
        messages_missing=session.messages_missing,
        power_w=session.power,
        last_updated_at=session.last_updated_at,
        ocpp_transaction_id=session.ocpp_transaction_id or "",
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
        offline=refusal.offline,
        energy_wh=refusal.energy_wh,
    )
