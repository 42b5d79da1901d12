"""Requests for access over gRPC."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from grpc import aio

from chargekey.access.v1 import access_requests_pb2 as pb
from chargekey.access.v1 import access_requests_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.targets import roles_of, target_object, target_of
from chargekey_access.api.words import ACCESS_REQUEST_STATE_NUMBERS, ROLE_NUMBERS
from chargekey_access.application import callers
from chargekey_access.application.access_requests import AccessRequests, count_request
from chargekey_access.domain.errors import AccessRequestNotNamedError, SubjectMissingError
from chargekey_access.domain.links import Links
from chargekey_access.domain.permission import Subject
from chargekey_access.projections.access_requests import Asked
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller
from chargekey_common.attempts import Attempts
from chargekey_common.grpc.server import Objects, Service, command_context
from chargekey_common.pages import page

NAME = "chargekey.access.v1.AccessRequestService"

Context = aio.ServicerContext[Any, Any]


class AccessRequestServicer(access_requests_pb2_grpc.AccessRequestServiceServicer):
    """Every method of access_requests.proto."""

    def __init__(
        self,
        access_requests: AccessRequests,
        directory: Directory,
        links: Links,
        attempts: Attempts,
    ) -> None:
        self._access_requests = access_requests
        self._directory = directory
        self._links = links
        self._attempts = attempts

    async def RequestAccess(
        self, request: pb.RequestAccessRequest, _: Context
    ) -> pb.RequestAccessResponse:
        context = command_context(request)
        caller = Caller(context.actor)
        subject, roles = _subject(request, caller), roles_of(request.roles)
        await asyncio.to_thread(count_request, self._attempts, caller)
        answer = await asyncio.to_thread(
            self._access_requests.request_access,
            context,
            subject=subject,
            installation_id=request.installation_id or None,
            roles=roles,
        )
        return pb.RequestAccessResponse(
            access_request_id=answer.result,
            link_token=self._links.token(answer.result),
            position=str(answer.position),
        )

    async def GetAccessRequest(
        self, request: pb.GetAccessRequestRequest, _: Context
    ) -> pb.GetAccessRequestResponse:
        key = self._links.access_request_id(request.link_token)
        return pb.GetAccessRequestResponse(
            access_request=await asyncio.to_thread(self._access_request, key)
        )

    async def FindAccessRequest(
        self, request: pb.FindAccessRequestRequest, _: Context
    ) -> pb.FindAccessRequestResponse:
        return pb.FindAccessRequestResponse(
            access_request=await asyncio.to_thread(self._access_request, request.access_request_id)
        )

    async def ListAccessRequests(
        self, request: pb.ListAccessRequestsRequest, _: Context
    ) -> pb.ListAccessRequestsResponse:
        return await asyncio.to_thread(self._list, request)

    async def ApproveAccessRequest(
        self, request: pb.ApproveAccessRequestRequest, _: Context
    ) -> pb.ApproveAccessRequestResponse:
        target = await target_of(self._directory, request)
        answer = await asyncio.to_thread(
            self._access_requests.approve_access_request,
            command_context(request),
            access_request_id=self._which(request),
            by_link=request.WhichOneof("which") == "link_token",
            target=target,
            roles=roles_of(request.roles),
            valid_until=request.valid_until,
        )
        return pb.ApproveAccessRequestResponse(
            permission_id=answer.result, position=str(answer.position)
        )

    async def DenyAccessRequest(
        self, request: pb.DenyAccessRequestRequest, _: Context
    ) -> pb.DenyAccessRequestResponse:
        # It must exist.
        await asyncio.to_thread(self._directory.sites.installation, request.installation_id)
        answer = await asyncio.to_thread(
            self._access_requests.deny_access_request,
            command_context(request),
            access_request_id=self._which(request),
            by_link=request.WhichOneof("which") == "link_token",
            installation_id=request.installation_id,
        )
        return pb.DenyAccessRequestResponse(position=str(answer.position))

    async def WithdrawAccessRequest(
        self, request: pb.WithdrawAccessRequestRequest, _: Context
    ) -> pb.WithdrawAccessRequestResponse:
        answer = await asyncio.to_thread(
            self._access_requests.withdraw_access_request,
            command_context(request),
            access_request_id=request.access_request_id,
        )
        return pb.WithdrawAccessRequestResponse(position=str(answer.position))

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "RequestAccess": _partner_or_system,
            "GetAccessRequest": objects.system,
            "FindAccessRequest": _access_request_object,
            "ListAccessRequests": _partner_or_installation,
            "ApproveAccessRequest": target_object,
            "DenyAccessRequest": objects.installation,
            "WithdrawAccessRequest": _access_request_object,
        }

    def _which(self, request: pb.ApproveAccessRequestRequest | pb.DenyAccessRequestRequest) -> str:
        match request.WhichOneof("which"):
            case "access_request_id":
                return request.access_request_id
            case "link_token":
                return self._links.access_request_id(request.link_token)
            case _:
                raise AccessRequestNotNamedError

    def _list(self, request: pb.ListAccessRequestsRequest) -> pb.ListAccessRequestsResponse:
        now = time.time_ns()
        with self._directory.caught_up():
            if request.WhichOneof("which") == "partner_id":
                self._directory.partners.partner(request.partner_id)  # it must exist
                keys = self._directory.access_requests.ever_of(request.partner_id)
            else:
                self._directory.sites.installation(request.installation_id)  # it must exist
                keys = self._directory.access_requests.ever_at(request.installation_id)

            def entry(key: str) -> pb.AccessRequest | None:
                asked = self._directory.access_requests.access_request(key)
                return self._told(asked, now=now) if asked.request.waits(now=now) else None

            found = page(request, keys, entry)
        return pb.ListAccessRequestsResponse(
            access_requests=found.entries, next_page_token=found.next_token
        )

    def _access_request(self, key: str) -> pb.AccessRequest:
        with self._directory.caught_up():
            asked = self._directory.access_requests.access_request(key)
            return self._told(asked, now=time.time_ns())

    def _told(self, asked: Asked, *, now: int) -> pb.AccessRequest:
        request = asked.request
        partner_id = request.subject.partner_id
        partner = None if partner_id is None else self._directory.partners.partner(partner_id)
        return pb.AccessRequest(
            id=asked.id,
            user_id=request.subject.user_id or "",
            partner_id=partner_id or "",
            partner_name="" if partner is None else partner.name,
            installation_id=request.installation_id or "",
            roles=[ROLE_NUMBERS[role] for role in request.roles],
            state=ACCESS_REQUEST_STATE_NUMBERS[request.state(now=now)],
            requested_at=asked.at,
            expires_at=request.expires_at,
        )


def service(
    access_requests: AccessRequests, directory: Directory, links: Links, attempts: Attempts
) -> Service:
    """Return the service, to be served."""
    servicer = AccessRequestServicer(access_requests, directory, links, attempts)
    return Service(
        NAME,
        access_requests_pb2_grpc.add_AccessRequestServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def _subject(request: pb.RequestAccessRequest, caller: Caller) -> Subject:
    if request.partner_id:
        return Subject(partner_id=request.partner_id)
    user_id = callers.user_of(caller)
    if user_id is None:
        raise SubjectMissingError
    return Subject(user_id)


def _access_request_object(
    request: pb.FindAccessRequestRequest | pb.WithdrawAccessRequestRequest,
) -> str:
    return f"access_request:{request.access_request_id}"


def _partner_or_installation(request: pb.ListAccessRequestsRequest) -> str:
    if request.WhichOneof("which") == "partner_id":
        return objects.partner(request)
    return objects.installation(request)


def _partner_or_system(request: pb.RequestAccessRequest) -> str:
    return objects.partner(request) if request.partner_id else objects.system(request)
