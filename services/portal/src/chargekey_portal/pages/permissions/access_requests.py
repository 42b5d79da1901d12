"""`/installations/ID/access-requests`, and `/access-request#TOKEN`: who asks, and the answer (R8).

What a link carries goes into the session, so that it stays out of addresses and pages while its
reader signs in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Form, Request, Response
from grpc import aio

from chargekey.access.v1 import access_requests_pb2 as pb
from chargekey.access.v1 import installations_pb2, permissions_pb2
from chargekey_common.pages import every
from chargekey_portal import names
from chargekey_portal.choosing import Chosen, IsChosen, offered
from chargekey_portal.forms import IN_RANGE, Text
from chargekey_portal.refusals import NOT_FOUND, Refusal, RefusedError, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE, AtSite, Site
from chargekey_portal.visitors import ACCESS_REQUEST, SignedIn, Visitor
from chargekey_portal.words import SOMEBODY

router = APIRouter()

REQUESTS = "/installations/{installation_id}/access-requests"


class Answer(msgspec.Struct, frozen=True):
    """What the form gives, and where."""

    roles: tuple[permissions_pb2.Role.ValueType, ...]
    # The last day, `YYYY-MM-DD`; empty for no end.
    valid_until: str
    installation_id: str
    # None for the whole installation.
    charger: Chosen = Chosen()

    async def target(self, visitor: Visitor) -> Mapping[str, Any]:
        """Return what a request names where it gives by.

        Raises RefusedError where no charger connects as was typed.
        """
        charger_id = await self.charger.at(visitor, self.installation_id)
        return (
            {"charger_id": charger_id} if charger_id else {"installation_id": self.installation_id}
        )


def answer(
    roles: Annotated[
        list[Annotated[permissions_pb2.Role.ValueType, IN_RANGE]], Form(default_factory=list)
    ],
    charger: IsChosen,
    valid_until: Text = "",
    installation: Text = "",
) -> Answer:
    """Return what the form says."""
    return Answer(tuple(roles), valid_until, installation, charger)


IsAnswer = Annotated[Answer, Depends(answer)]


@router.get(REQUESTS)
async def access_requests(
    request: Request, visitor: SignedIn, site: AtSite, after: str = ""
) -> Response:
    """List those that wait, by pages."""
    asked = pb.ListAccessRequestsRequest(
        installation_id=site.installation.id, page_size=PAGE_SIZE, page_token=after
    )
    found = await visitor.services.access_requests.ListAccessRequests(asked)
    users = [each.user_id for each in found.access_requests]
    return page(
        request,
        "permissions/access_requests",
        site=site,
        access_requests=found.access_requests,
        names=await names.names(visitor, site.installation.id, users),
        next_page=found.next_page_token,
    )


async def asked_here(access_request_id: str, visitor: SignedIn, site: AtSite) -> pb.AccessRequest:
    """Return the one that waits at the installation under this id; raises RefusedError."""
    asked = pb.ListAccessRequestsRequest(installation_id=site.installation.id)
    waiting: list[pb.AccessRequest] = await every(
        visitor.services.access_requests.ListAccessRequests, asked, "access_requests"
    )
    for each in waiting:
        if each.id == access_request_id:
            return each
    raise RefusedError(NOT_FOUND)


AskedHere = Annotated[pb.AccessRequest, Depends(asked_here)]


@router.get(f"{REQUESTS}/{{access_request_id}}")
async def ask_for_answer(
    request: Request, visitor: SignedIn, site: AtSite, asked: AskedHere
) -> Response:
    """Show what is asked for, and ask what to give."""
    return await _at_site(request, visitor, site, asked)


@router.post(f"{REQUESTS}/{{access_request_id}}/approve")
async def approve(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    asked: AskedHere,
    answer: IsAnswer,
    command_id: Text = "",
) -> Response:
    """Give it."""
    here = msgspec.structs.replace(answer, installation_id=site.installation.id)
    try:
        approval = pb.ApproveAccessRequestRequest(
            command_id=command_id,
            access_request_id=asked.id,
            roles=here.roles,
            valid_until=here.valid_until,
            **await here.target(visitor),
        )
        await visitor.services.access_requests.ApproveAccessRequest(approval)
    except (aio.AioRpcError, RefusedError) as error:
        return await _at_site(request, visitor, site, asked, here, refusal_of(error))
    return see(f"{site.path}/access-requests", "access_approved")


@router.post(f"{REQUESTS}/{{access_request_id}}/deny")
async def deny(
    request: Request,
    visitor: SignedIn,
    site: AtSite,
    asked: AskedHere,
    command_id: Text = "",
) -> Response:
    """Refuse it."""
    denial = pb.DenyAccessRequestRequest(
        command_id=command_id, installation_id=site.installation.id, access_request_id=asked.id
    )
    try:
        await visitor.services.access_requests.DenyAccessRequest(denial)
    except aio.AioRpcError as error:
        return await _at_site(request, visitor, site, asked, refusal=refusal_of(error))
    return see(f"{site.path}/access-requests", "access_denied")


@router.get("/access-request")
async def follow_link(request: Request) -> Response:
    """Take what stands behind `#` in the link."""
    return page(request, "permissions/access_request_link")


@router.post("/access-request")
async def keep_link(request: Request, token: Text = "") -> Response:
    """Keep it, and lead on to the answer, which somebody has to be signed in for."""
    request.session[ACCESS_REQUEST] = token.rpartition("#")[2].strip()
    return see("/access-request/answer")


@router.get("/access-request/answer")
async def ask_for_answer_by_link(request: Request, visitor: SignedIn) -> Response:
    """Show who asks for what, and ask what to give and where."""
    return await _by_link(request, visitor)


@router.post("/access-request/answer/approve")
async def approve_by_link(
    request: Request,
    visitor: SignedIn,
    answer: IsAnswer,
    command_id: Text = "",
) -> Response:
    """Give it."""
    approval = pb.ApproveAccessRequestRequest(
        command_id=command_id,
        link_token=_token(request),
        roles=answer.roles,
        valid_until=answer.valid_until,
        installation_id=answer.installation_id,
    )
    try:
        await visitor.services.access_requests.ApproveAccessRequest(approval)
    except aio.AioRpcError as error:
        return await _by_link(request, visitor, answer, refusal_of(error))
    del request.session[ACCESS_REQUEST]
    return see(f"/installations/{answer.installation_id}", "access_approved")


@router.post("/access-request/answer/deny")
async def deny_by_link(
    request: Request,
    visitor: SignedIn,
    answer: IsAnswer,
    command_id: Text = "",
) -> Response:
    """Refuse it, as an owner of that installation."""
    denial = pb.DenyAccessRequestRequest(
        command_id=command_id,
        installation_id=answer.installation_id,
        link_token=_token(request),
    )
    try:
        await visitor.services.access_requests.DenyAccessRequest(denial)
    except aio.AioRpcError as error:
        return await _by_link(request, visitor, answer, refusal_of(error))
    del request.session[ACCESS_REQUEST]
    return see("/installations", "access_denied")


def _token(request: Request) -> str:
    """Return what the link carried; raises RefusedError where none was followed."""
    token = request.session.get(ACCESS_REQUEST)
    if not token:
        raise RefusedError(NOT_FOUND)
    return str(token)


async def _at_site(
    request: Request,
    visitor: Visitor,
    site: Site,
    asked: pb.AccessRequest,
    answer: Answer | None = None,
    refusal: Refusal | None = None,
) -> Response:
    answer = answer or Answer(tuple(asked.roles), "", site.installation.id)
    return page(
        request,
        "permissions/access_request",
        site=site,
        refusal=refusal,
        asked=asked,
        names=await names.names(visitor, site.installation.id, [asked.user_id]),
        chargers=await offered(visitor, site.installation.id, answer.charger.charger_id),
        answer=answer,
    )


async def _by_link(
    request: Request,
    visitor: Visitor,
    answer: Answer | None = None,
    refusal: Refusal | None = None,
) -> Response:
    link = pb.GetAccessRequestRequest(link_token=_token(request))
    asked = (await visitor.services.access_requests.GetAccessRequest(link)).access_request
    here = asked.installation_id
    return page(
        request,
        "permissions/access_request_by_link",
        refusal=refusal,
        asked=asked,
        sites=await _sites(visitor, here),
        # Who is not known here is told by no name.
        names={asked.user_id: names.said(visitor, SOMEBODY)},
        answer=answer or Answer(tuple(asked.roles), "", here),
    )


async def _sites(visitor: Visitor, only: str) -> Sequence[installations_pb2.Installation]:
    """Return the installations that it may be given at: the one it is asked of, or any."""
    asked = installations_pb2.ListInstallationsRequest(page_size=names.MOST)
    listed = (await visitor.services.installations.ListInstallations(asked)).installations
    return [each for each in listed if only in ("", each.id)]
