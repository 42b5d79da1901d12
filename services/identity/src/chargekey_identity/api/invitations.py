"""The invitations on the wire."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from grpc import aio

from chargekey.identity.v1 import invitations_pb2 as pb
from chargekey.identity.v1 import invitations_pb2_grpc
from chargekey_common import local_days
from chargekey_common.errors import NotFoundError, UnavailableError
from chargekey_common.grpc.server import SYSTEM, Objects, Service, command_context
from chargekey_common.pages import page
from chargekey_identity.api.access import Access
from chargekey_identity.api.objects import about_invitation, installation_object
from chargekey_identity.application.invitations import Invitations
from chargekey_identity.application.sign_in import SignIns
from chargekey_identity.domain.errors import InstallationUnknownError, LinkInvalidError
from chargekey_identity.domain.invitation import Invitation, State
from chargekey_identity.domain.user import User
from chargekey_identity.projections.directory import Directory

NAME = "chargekey.identity.v1.InvitationService"

# How long signing up waits for the zone of where somebody is invited to, in seconds.
LONGEST_WAIT = 1.0

Context = aio.ServicerContext[Any, Any]

_STATES: dict[State, Any] = {
    "WAITING": pb.INVITATION_STATE_WAITING,
    "ACCEPTED": pb.INVITATION_STATE_ACCEPTED,
    "REVOKED": pb.INVITATION_STATE_REVOKED,
}


log = structlog.get_logger()


class InvitationServicer(invitations_pb2_grpc.InvitationServiceServicer):
    """The methods of invitations.proto."""

    def __init__(
        self, invitations: Invitations, sign_ins: SignIns, directory: Directory, access: Access
    ) -> None:
        self._invitations = invitations
        self._sign_ins = sign_ins
        self._directory = directory
        self._access = access

    async def ListInvitations(
        self, request: pb.ListInvitationsRequest, _: Context
    ) -> pb.ListInvitationsResponse:
        await self._access.time_zone(request.installation_id)  # it must exist
        found = await asyncio.to_thread(self._directory.invitations.at, request.installation_id)
        people = await asyncio.to_thread(
            self._directory.existing, {each.given.user_id for each in found.values()}
        )
        now = time.time_ns()

        def invitation(key: str) -> pb.Invitation | None:
            person = people.get(found[key].given.user_id)
            return None if person is None else _invitation(key, found[key], person.email, now)

        told = page(request, found, invitation)
        return pb.ListInvitationsResponse(invitations=told.entries, next_page_token=told.next_token)

    async def ResendInvitation(
        self, request: pb.ResendInvitationRequest, _: Context
    ) -> pb.ResendInvitationResponse:
        answer = await asyncio.to_thread(
            self._invitations.resend_invitation,
            command_context(request),
            invitation_id=request.invitation_id,
        )
        return pb.ResendInvitationResponse(position=str(answer.position))

    async def RevokeInvitation(
        self, request: pb.RevokeInvitationRequest, _: Context
    ) -> pb.RevokeInvitationResponse:
        answer = await asyncio.to_thread(
            self._invitations.revoke_invitation,
            command_context(request),
            invitation_id=request.invitation_id,
        )
        return pb.RevokeInvitationResponse(position=str(answer.position))

    async def GetInvitation(
        self, request: pb.GetInvitationRequest, _: Context
    ) -> pb.GetInvitationResponse:
        invited = await asyncio.to_thread(self._invitations.followed, request.token)
        given, by = invited.given, invited.invited_by or ""
        people = await asyncio.to_thread(self._directory.existing, {by})
        try:
            return pb.GetInvitationResponse(
                installation_name=await self._access.name_of_installation(given.installation_id)
                if given.installation_id
                else "",
                ocpp_identity=await self._access.ocpp_identity(given.charger_id)
                if given.charger_id
                else "",
                partner_name=await self._access.name_of_partner(given.partner_id)
                if given.partner_id
                else "",
                roles=await self._access.roles(given.permission_id) if given.permission_id else (),
                ownership=given.is_ownership,
                invited_by=_name(people.get(by)),
            )
        except NotFoundError:  # gone meanwhile
            raise LinkInvalidError from None

    async def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, _: Context
    ) -> pb.AcceptInvitationResponse:
        accepted = await asyncio.to_thread(
            self._invitations.accept,
            request.token,
            first_name=request.first_name,
            last_name=request.last_name,
            language=request.language,
            time_zone=await self._time_zone(request),
        )
        tokens = await asyncio.to_thread(self._sign_ins.issue, accepted.result)
        return pb.AcceptInvitationResponse(
            user_id=tokens.user_id,
            access_token=tokens.access.text,
            refresh_token=tokens.refresh,
            expires_at=tokens.access.expires_at,
            position=str(accepted.position),
        )

    async def IssueInvitationLink(
        self, request: pb.IssueInvitationLinkRequest, _: Context
    ) -> pb.IssueInvitationLinkResponse:
        link = await asyncio.to_thread(self._invitations.issue, request.invitation_id)
        invited = await asyncio.to_thread(
            self._directory.invitations.invitation, request.invitation_id
        )
        return pb.IssueInvitationLinkResponse(
            email=link.email,
            token=link.token,
            expires_at=link.expires_at,
            language=link.language,
            installation_id=invited.given.installation_id or "",
            partner_id=invited.given.partner_id or "",
            ownership=invited.given.is_ownership,
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "ListInvitations": installation_object,
            "ResendInvitation": self._invitation_object,
            "RevokeInvitation": self._invitation_object,
            "GetInvitation": lambda _: SYSTEM,
            "AcceptInvitation": lambda _: SYSTEM,
            "IssueInvitationLink": lambda _: SYSTEM,
        }

    async def _time_zone(self, request: pb.AcceptInvitationRequest) -> str:
        """Return the zone he says, else that of where he is invited to; empty for neither.

        Who has an account has a zone of his own, and is not asked about.
        """
        if local_days.is_time_zone(request.time_zone):
            return request.time_zone
        given = (await asyncio.to_thread(self._invitations.followed, request.token)).given
        invited = await asyncio.to_thread(self._directory.once, given.user_id)
        if given.installation_id is None or invited is None or invited.kind != "PENDING":
            return ""
        # Signing up waits no longer for it; he can choose it himself.
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                return await self._access.time_zone(given.installation_id)
        except (InstallationUnknownError, UnavailableError) as error:
            log.info("time_zone_unknown", error=error.code)
        except TimeoutError:
            log.info("time_zone_unknown", error=UnavailableError.code)
        return ""

    async def _invitation_object(self, request: pb.ResendInvitationRequest) -> str:
        found = await asyncio.to_thread(
            self._directory.invitations.invitation, request.invitation_id
        )
        return about_invitation(found)


def service(
    invitations: Invitations, sign_ins: SignIns, directory: Directory, access: Access
) -> Service:
    """Return the service, to be served."""
    servicer = InvitationServicer(invitations, sign_ins, directory, access)
    return Service(
        NAME,
        invitations_pb2_grpc.add_InvitationServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def _name(person: User | None) -> str:
    return "" if person is None else f"{person.first_name} {person.last_name}".strip()


def _invitation(key: str, state: Invitation, address: str, now: int) -> pb.Invitation:
    expired = state.state == "WAITING" and not state.is_open(now)
    return pb.Invitation(
        id=key,
        user_id=state.given.user_id,
        email=address,
        installation_id=state.given.installation_id or "",
        charger_id=state.given.charger_id or "",
        permission_id=state.given.permission_id or "",
        state=pb.INVITATION_STATE_EXPIRED if expired else _STATES[state.state],
        expires_at=state.expires_at,
        times_sent=state.times_sent,
    )
