"""Identity and access as the notifier sees them, and the stream that identity fills."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from grpc import aio
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey.access.v1 import (
    installations_pb2,
    installations_pb2_grpc,
    partners_pb2,
    partners_pb2_grpc,
)
from chargekey.identity.v1 import (
    invitations_pb2,
    invitations_pb2_grpc,
    sign_in_pb2,
    sign_in_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
)
from chargekey_common.accounts import Caller, service_account
from chargekey_common.errors import NotFoundError, PermissionDeniedError, UnavailableError
from chargekey_common.grpc.server import Service
from chargekey_common.positions import Position
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.published.identity import UserBlocked
from chargekey_common.testing.grpc import served
from chargekey_common.testing.streams import make_stream

NOON = 1_772_539_200_000_000_000  # 2026-03-03T12:00Z, 13:00 in Oslo

Context = aio.ServicerContext[Any, Any]


class UserUnknownError(NotFoundError):
    code = "user_unknown"
    sentence = "There is no such user."


class InstallationUnknownError(NotFoundError):
    code = "installation_unknown"
    sentence = "There is no such installation."


async def only_the_notifier(caller: Caller, action: str, obj: str) -> None:
    allowed = {
        "identity.GetUser",
        "identity.IssueInvitationLink",
        "identity.IssueSignInLink",
        "access.GetInstallation",
        "access.GetPartner",
    }
    if caller != service_account("notifier") or action not in allowed or not obj:
        raise PermissionDeniedError


class Identity(users_pb2_grpc.UserServiceServicer):
    def __init__(self) -> None:
        self.users: dict[str, users_pb2.User] = {}
        self.failures = 0

    def add(self, user_id: str, first_name: str, last_name: str = "Berg") -> None:
        self.users[user_id] = users_pb2.User(
            id=user_id,
            first_name=first_name,
            last_name=last_name,
            blocked=True,
            blocked_everywhere=True,
        )

    async def GetUser(
        self, request: users_pb2.GetUserRequest, _: Context
    ) -> users_pb2.GetUserResponse:
        if self.failures:
            self.failures -= 1
            raise UnavailableError
        if request.user_id not in self.users:
            raise UserUnknownError
        return users_pb2.GetUserResponse(user=self.users[request.user_id])


class InvitationUnknownError(NotFoundError):
    code = "invitation_unknown"
    sentence = "There is no such invitation."


class Invitations(invitations_pb2_grpc.InvitationServiceServicer):
    def __init__(self) -> None:
        self.links: dict[str, invitations_pb2.IssueInvitationLinkResponse] = {}

    async def IssueInvitationLink(
        self, request: invitations_pb2.IssueInvitationLinkRequest, _: Context
    ) -> invitations_pb2.IssueInvitationLinkResponse:
        if request.invitation_id not in self.links:
            raise InvitationUnknownError
        return self.links[request.invitation_id]


class SignIn(sign_in_pb2_grpc.SignInServiceServicer):
    def __init__(self) -> None:
        self.language = "en"

    async def IssueSignInLink(
        self, request: sign_in_pb2.IssueSignInLinkRequest, _: Context
    ) -> sign_in_pb2.IssueSignInLinkResponse:
        return sign_in_pb2.IssueSignInLinkResponse(
            email=f"{request.user_id}@people.test",
            token=f"token-of-{request.event_id}",
            expires_at=NOON,
            language=self.language,
        )


class Partners(partners_pb2_grpc.PartnerServiceServicer):
    async def GetPartner(
        self, request: partners_pb2.GetPartnerRequest, _: Context
    ) -> partners_pb2.GetPartnerResponse:
        partner = partners_pb2.Partner(id=request.partner_id, name="Volt AS")
        return partners_pb2.GetPartnerResponse(partner=partner)


class Access(installations_pb2_grpc.InstallationServiceServicer):
    def __init__(self) -> None:
        self.sites = {"home": ("Home", "Europe/Oslo")}

    async def GetInstallation(
        self, request: installations_pb2.GetInstallationRequest, _: Context
    ) -> installations_pb2.GetInstallationResponse:
        if request.installation_id not in self.sites:
            raise InstallationUnknownError
        name, time_zone = self.sites[request.installation_id]
        return installations_pb2.GetInstallationResponse(
            installation=installations_pb2.Installation(
                id=request.installation_id, name=name, time_zone=time_zone
            )
        )


class Neighbours:
    """Both services, served on free ports."""

    def __init__(self) -> None:
        self.identity = Identity()
        self.invitations = Invitations()
        self.sign_in = SignIn()
        self.access = Access()
        self.identity_channel: aio.Channel
        self.access_channel: aio.Channel

    async def serve(self, directory: Path, until: AsyncExitStack) -> None:
        identity = Service(
            "chargekey.identity.v1.UserService",
            users_pb2_grpc.add_UserServiceServicer_to_server,
            self.identity,
            {"GetUser": lambda request: f"user:{request.user_id}"},
        )
        access = Service(
            "chargekey.access.v1.InstallationService",
            installations_pb2_grpc.add_InstallationServiceServicer_to_server,
            self.access,
            {"GetInstallation": lambda request: f"installation:{request.installation_id}"},
        )
        invitations = Service(
            "chargekey.identity.v1.InvitationService",
            invitations_pb2_grpc.add_InvitationServiceServicer_to_server,
            self.invitations,
            {"IssueInvitationLink": lambda _: "system"},
        )
        sign_in = Service(
            "chargekey.identity.v1.SignInService",
            sign_in_pb2_grpc.add_SignInServiceServicer_to_server,
            self.sign_in,
            {"IssueSignInLink": lambda request: f"user:{request.user_id}"},
        )
        partners = Service(
            "chargekey.access.v1.PartnerService",
            partners_pb2_grpc.add_PartnerServiceServicer_to_server,
            Partners(),
            {"GetPartner": lambda request: f"partner:{request.partner_id}"},
        )
        me = service_account("notifier")
        as_caller = await until.enter_async_context(
            served(identity, directory, only_the_notifier, invitations, sign_in)
        )
        self.identity_channel = as_caller(me)
        as_caller = await until.enter_async_context(
            served(access, directory, only_the_notifier, partners)
        )
        self.access_channel = as_caller(me)


class IdentityStream:
    """The IDENTITY stream, as identity's relay fills it under one generation."""

    def __init__(self, client: Client, generation: str = "00000000000000a1") -> None:
        self._js = client.jetstream()
        self.generation = generation

    async def make(self) -> None:
        await make_stream(self._js, StreamConfig(name="IDENTITY", subjects=["identity.v1.>"]))

    async def lose(self) -> None:
        await self._js.delete_stream("IDENTITY")

    async def blocked(
        self, number: int, user_id: str, installation_id: str | None = "home"
    ) -> None:
        """Publish the block that is event `number` of identity's store."""
        await self.tell(number, UserBlocked(user_id=user_id, installation_id=installation_id))

    async def tell(self, number: int, event: PublishedEvent) -> None:
        """Publish what is event `number` of identity's store."""
        about = Attributes(
            id=event_id(number),
            at=NOON,
            cause="a-command",
            actor="administrator:local",
            position=Position("identity", self.generation, number),
        )
        await self._js.publish(
            event.subject,
            msgspec.json.encode(event),
            headers=headers(event, about, source="identity"),
        )


def event_id(number: int) -> str:
    return f"00000000-0000-5000-8000-{number:012d}"
