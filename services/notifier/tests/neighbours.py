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
    access_requests_pb2,
    access_requests_pb2_grpc,
    chargers_pb2,
    chargers_pb2_grpc,
    installations_pb2,
    installations_pb2_grpc,
    owners_pb2,
    owners_pb2_grpc,
    partners_pb2,
    partners_pb2_grpc,
    permissions_pb2,
    permissions_pb2_grpc,
)
from chargekey.identity.v1 import (
    identifications_pb2,
    identifications_pb2_grpc,
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
        "access.GetCharger",
        "access.GetPermission",
        "access.GetOwners",
        "access.ListBlockedUsers",
        "access.FindAccessRequest",
        "access.ListPartnerMembers",
        "identity.ListIdentifications",
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

    def sign_up(self, user_id: str, first_name: str, language: str = "en") -> None:
        """Let somebody have an account."""
        self.users[user_id] = users_pb2.User(
            id=user_id,
            first_name=first_name,
            last_name="Berg",
            kind=users_pb2.USER_KIND_ACCOUNT,
            email=f"{user_id}@people.test",
            time_zone="Europe/Oslo",
            language=language,
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


class Identifications(identifications_pb2_grpc.IdentificationServiceServicer):
    def __init__(self) -> None:
        self.held: dict[str, identifications_pb2.Identification] = {}

    async def ListIdentifications(
        self, request: identifications_pb2.ListIdentificationsRequest, _: Context
    ) -> identifications_pb2.ListIdentificationsResponse:
        held = [each for each in self.held.values() if each.user_id == request.user_id]
        return identifications_pb2.ListIdentificationsResponse(identifications=held)


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

    async def ListPartnerMembers(
        self, request: partners_pb2.ListPartnerMembersRequest, _: Context
    ) -> partners_pb2.ListPartnerMembersResponse:
        """Answer a page of one each."""
        people = [("manager", True), ("member", False), ("other-manager", True)]
        number = int(request.page_token or 0)
        user_id, manages = people[number]
        return partners_pb2.ListPartnerMembersResponse(
            members=[partners_pb2.PartnerMember(user_id=user_id, manages=manages)],
            next_page_token=str(number + 1) if number + 1 < len(people) else "",
        )


class PermissionUnknownError(NotFoundError):
    code = "permission_unknown"
    sentence = "There is no such permission."


class Permissions(permissions_pb2_grpc.PermissionServiceServicer):
    def __init__(self) -> None:
        self.held: dict[str, permissions_pb2.Permission] = {}

    async def GetPermission(
        self, request: permissions_pb2.GetPermissionRequest, _: Context
    ) -> permissions_pb2.GetPermissionResponse:
        if request.permission_id not in self.held:
            raise PermissionUnknownError
        return permissions_pb2.GetPermissionResponse(permission=self.held[request.permission_id])


class Owners(owners_pb2_grpc.OwnersServiceServicer):
    def __init__(self) -> None:
        self.owners: list[str] = []
        self.blocked: list[str] = []

    async def GetOwners(
        self, _: owners_pb2.GetOwnersRequest, __: Context
    ) -> owners_pb2.GetOwnersResponse:
        return owners_pb2.GetOwnersResponse(user_ids=self.owners)

    async def ListBlockedUsers(
        self, _: owners_pb2.ListBlockedUsersRequest, __: Context
    ) -> owners_pb2.ListBlockedUsersResponse:
        return owners_pb2.ListBlockedUsersResponse(user_ids=self.blocked)


class AccessRequests(access_requests_pb2_grpc.AccessRequestServiceServicer):
    def __init__(self) -> None:
        self.asked = access_requests_pb2.AccessRequest()

    async def FindAccessRequest(
        self, _: access_requests_pb2.FindAccessRequestRequest, __: Context
    ) -> access_requests_pb2.FindAccessRequestResponse:
        return access_requests_pb2.FindAccessRequestResponse(access_request=self.asked)


class Chargers(chargers_pb2_grpc.ChargerServiceServicer):
    async def GetCharger(
        self, request: chargers_pb2.GetChargerRequest, _: Context
    ) -> chargers_pb2.GetChargerResponse:
        charger = chargers_pb2.Charger(id=request.charger_id, ocpp_identity="CP-1")
        return chargers_pb2.GetChargerResponse(charger=charger)


class Access(installations_pb2_grpc.InstallationServiceServicer):
    def __init__(self) -> None:
        self.sites = {"home": ("Home", "Europe/Oslo")}
        self.offered_to = ""
        self.addresses: dict[str, installations_pb2.Address] = {}
        self.away = False

    async def GetInstallation(
        self, request: installations_pb2.GetInstallationRequest, _: Context
    ) -> installations_pb2.GetInstallationResponse:
        if self.away:
            raise UnavailableError
        if request.installation_id not in self.sites:
            raise InstallationUnknownError
        name, time_zone = self.sites[request.installation_id]
        return installations_pb2.GetInstallationResponse(
            installation=installations_pb2.Installation(
                id=request.installation_id,
                name=name,
                time_zone=time_zone,
                address=self.addresses.get(request.installation_id),
                ownership_offered_to=self.offered_to,
            )
        )


class Neighbours:
    """Both services, served on free ports."""

    def __init__(self) -> None:
        self.identity = Identity()
        self.invitations = Invitations()
        self.sign_in = SignIn()
        self.access = Access()
        self.identifications = Identifications()
        self.permissions = Permissions()
        self.owners = Owners()
        self.access_requests = AccessRequests()
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
            {
                "GetPartner": lambda request: f"partner:{request.partner_id}",
                "ListPartnerMembers": lambda request: f"partner:{request.partner_id}",
            },
        )
        identifications = Service(
            "chargekey.identity.v1.IdentificationService",
            identifications_pb2_grpc.add_IdentificationServiceServicer_to_server,
            self.identifications,
            {"ListIdentifications": lambda request: f"user:{request.user_id}"},
        )
        permissions = Service(
            "chargekey.access.v1.PermissionService",
            permissions_pb2_grpc.add_PermissionServiceServicer_to_server,
            self.permissions,
            {"GetPermission": lambda request: f"permission:{request.permission_id}"},
        )
        owners = Service(
            "chargekey.access.v1.OwnersService",
            owners_pb2_grpc.add_OwnersServiceServicer_to_server,
            self.owners,
            dict.fromkeys(
                ("GetOwners", "ListBlockedUsers"),
                lambda request: f"installation:{request.installation_id}",
            ),
        )
        access_requests = Service(
            "chargekey.access.v1.AccessRequestService",
            access_requests_pb2_grpc.add_AccessRequestServiceServicer_to_server,
            self.access_requests,
            {"FindAccessRequest": lambda request: f"access_request:{request.access_request_id}"},
        )
        chargers = Service(
            "chargekey.access.v1.ChargerService",
            chargers_pb2_grpc.add_ChargerServiceServicer_to_server,
            Chargers(),
            {"GetCharger": lambda request: f"charger:{request.charger_id}"},
        )
        me = service_account("notifier")
        as_caller = await until.enter_async_context(
            served(identity, directory, only_the_notifier, invitations, sign_in, identifications)
        )
        self.identity_channel = as_caller(me)
        as_caller = await until.enter_async_context(
            served(
                access,
                directory,
                only_the_notifier,
                partners,
                permissions,
                owners,
                access_requests,
                chargers,
            )
        )
        self.access_channel = as_caller(me)


class IdentityStream:
    """The streams that reactions follow, as the services fill them under one generation."""

    def __init__(self, client: Client, generation: str = "00000000000000a1") -> None:
        self._js = client.jetstream()
        self.generation = generation

    async def make(self) -> None:
        for name in ("identity", "access", "chargers"):
            await make_stream(self._js, StreamConfig(name=name.upper(), subjects=[f"{name}.v1.>"]))

    async def lose(self) -> None:
        await self._js.delete_stream("IDENTITY")

    async def blocked(
        self, number: int, user_id: str, installation_id: str | None = "home"
    ) -> None:
        """Publish the block that is event `number` of identity's store."""
        await self.tell(number, UserBlocked(user_id=user_id, installation_id=installation_id))

    async def tell(
        self,
        number: int,
        event: PublishedEvent,
        *,
        at: int = NOON,
        actor: str = "administrator:local",
    ) -> None:
        """Publish what is event `number` of its service's store.

        No store stands behind the gateway's streams, and the number is of the id alone.
        """
        stored = event.stream not in {"chargers", "sessions"}
        about = Attributes(
            id=event_id(number),
            at=at,
            cause="a-command",
            actor=actor,
            position=Position(event.stream, self.generation, number) if stored else None,
        )
        await self._js.publish(
            event.subject,
            msgspec.json.encode(event),
            headers=headers(event, about, source=event.stream),
        )


def event_id(number: int) -> str:
    return f"00000000-0000-5000-8000-{number:012d}"
