"""The gRPC service: requests to commands, states to answers, and nothing between."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from grpc import aio

from chargekey.identity.v1 import identity_pb2 as pb
from chargekey.identity.v1 import identity_pb2_grpc
from chargekey_common.grpc.server import Objects, Service, command_context
from chargekey_identity.api.access import Access
from chargekey_identity.application import Identity
from chargekey_identity.domain.errors import StatusUnknownError, TypeUnknownError
from chargekey_identity.domain.events import IdentificationStatus, IdentificationType
from chargekey_identity.domain.identification import Identification
from chargekey_identity.domain.user import User
from chargekey_identity.projections.directory import Directory

NAME = "chargekey.identity.v1.IdentityService"

# How long adding a user waits for his permission, in seconds, and what it leaves
# of the caller's own deadline for the answer to travel.
LONGEST_WAIT = 2.0
MARGIN = 0.25

_TYPES: dict[int, IdentificationType] = {
    pb.IDENTIFICATION_TYPE_RFID: "RFID",
    pb.IDENTIFICATION_TYPE_PIN: "PIN",
}
_STATUSES: dict[int, IdentificationStatus] = {
    pb.IDENTIFICATION_STATUS_ACTIVE: "ACTIVE",
    pb.IDENTIFICATION_STATUS_INACTIVE: "INACTIVE",
    pb.IDENTIFICATION_STATUS_BLOCKED: "BLOCKED",
}
_TYPE_NUMBERS: dict[IdentificationType, Any] = {word: number for number, word in _TYPES.items()}
_STATUS_NUMBERS: dict[IdentificationStatus, Any] = {
    word: number for number, word in _STATUSES.items()
}

Context = aio.ServicerContext[Any, Any]


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """Every method of identity.proto."""

    def __init__(self, identity: Identity, directory: Directory, access: Access) -> None:
        self._identity = identity
        self._directory = directory
        self._access = access

    async def AddLocalUser(
        self, request: pb.AddLocalUserRequest, context: Context
    ) -> pb.AddLocalUserResponse:
        await self._access.time_zone(request.installation_id)  # it must exist
        answer = await asyncio.to_thread(
            self._identity.add_local_user,
            command_context(request),
            installation_id=request.installation_id,
            first_name=request.first_name,
            last_name=request.last_name,
            blocked=request.blocked,
        )
        permission = await self._access.permission_position(
            answer.position, within=_time_to_wait(context)
        )
        return pb.AddLocalUserResponse(
            user_id=answer.result,
            position=str(answer.position),
            access_position=permission,
            pending=not permission,
        )

    async def RenameUser(self, request: pb.RenameUserRequest, _: Context) -> pb.RenameUserResponse:
        answer = await asyncio.to_thread(
            self._identity.rename_user,
            command_context(request),
            user_id=request.user_id,
            first_name=request.first_name,
            last_name=request.last_name,
        )
        return pb.RenameUserResponse(position=str(answer.position))

    async def BlockUser(self, request: pb.BlockUserRequest, _: Context) -> pb.BlockUserResponse:
        answer = await asyncio.to_thread(
            self._identity.block_user, command_context(request), user_id=request.user_id
        )
        return pb.BlockUserResponse(position=str(answer.position))

    async def UnblockUser(
        self, request: pb.UnblockUserRequest, _: Context
    ) -> pb.UnblockUserResponse:
        answer = await asyncio.to_thread(
            self._identity.unblock_user, command_context(request), user_id=request.user_id
        )
        return pb.UnblockUserResponse(position=str(answer.position))

    async def GetUser(self, request: pb.GetUserRequest, _: Context) -> pb.GetUserResponse:
        found = await asyncio.to_thread(self._directory.user, request.user_id)
        return pb.GetUserResponse(user=_user(request.user_id, found))

    async def ListUsers(self, request: pb.ListUsersRequest, _: Context) -> pb.ListUsersResponse:
        await self._access.time_zone(request.installation_id)  # it must exist
        found = await asyncio.to_thread(self._directory.users, request.installation_id)
        return pb.ListUsersResponse(users=[_user(key, state) for key, state in found])

    async def AddIdentification(
        self, request: pb.AddIdentificationRequest, _: Context
    ) -> pb.AddIdentificationResponse:
        if request.type not in _TYPES:
            raise TypeUnknownError
        status = request.status or pb.IDENTIFICATION_STATUS_ACTIVE
        if status not in _STATUSES:
            raise StatusUnknownError
        answer = await asyncio.to_thread(
            self._identity.add_identification,
            command_context(request),
            user_id=request.user_id,
            identification_type=_TYPES[request.type],
            code=request.code,
            status=_STATUSES[status],
            valid_until=request.valid_until,
            time_zone=await self._time_zone(request.user_id, request.valid_until),
        )
        return pb.AddIdentificationResponse(
            identification_id=answer.result, position=str(answer.position)
        )

    async def ChangeIdentification(
        self, request: pb.ChangeIdentificationRequest, _: Context
    ) -> pb.ChangeIdentificationResponse:
        if request.HasField("status") and request.status not in _STATUSES:
            raise StatusUnknownError
        user_id = await asyncio.to_thread(self._directory.holder_of, request.identification_id)
        answer = await asyncio.to_thread(
            self._identity.change_identification,
            command_context(request),
            identification_id=request.identification_id,
            code=request.code if request.HasField("code") else None,
            status=_STATUSES[request.status] if request.HasField("status") else None,
            valid_until=request.valid_until if request.HasField("valid_until") else None,
            time_zone=await self._time_zone(user_id, request.valid_until),
        )
        return pb.ChangeIdentificationResponse(position=str(answer.position))

    async def RemoveIdentification(
        self, request: pb.RemoveIdentificationRequest, _: Context
    ) -> pb.RemoveIdentificationResponse:
        answer = await asyncio.to_thread(
            self._identity.remove_identification,
            command_context(request),
            identification_id=request.identification_id,
        )
        return pb.RemoveIdentificationResponse(position=str(answer.position))

    async def RevealCode(self, request: pb.RevealCodeRequest, _: Context) -> pb.RevealCodeResponse:
        answer = await asyncio.to_thread(
            self._identity.reveal_code,
            command_context(request),
            identification_id=request.identification_id,
        )
        return pb.RevealCodeResponse(code=answer.result.text, position=str(answer.position))

    async def ListIdentifications(
        self, request: pb.ListIdentificationsRequest, _: Context
    ) -> pb.ListIdentificationsResponse:
        found = await asyncio.to_thread(self._directory.identifications, request.user_id)
        return pb.ListIdentificationsResponse(
            identifications=[_identification(key, held) for key, held in found]
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "AddLocalUser": _installation_object,
            "RenameUser": self._home_of_user,
            "BlockUser": self._home_of_user,
            "UnblockUser": self._home_of_user,
            "GetUser": self._home_of_user,
            "ListUsers": _installation_object,
            "AddIdentification": self._home_of_user,
            "ChangeIdentification": self._home_of_identification,
            "RemoveIdentification": self._home_of_identification,
            "RevealCode": self._home_of_identification,
            "ListIdentifications": self._home_of_user,
        }

    async def _home_of_user(self, request: pb.GetUserRequest) -> str:
        return await self._home(request.user_id)

    async def _home_of_identification(self, request: pb.RevealCodeRequest) -> str:
        return await self._home(
            await asyncio.to_thread(self._directory.holder_of, request.identification_id)
        )

    async def _home(self, user_id: str) -> str:
        holder = await asyncio.to_thread(self._directory.user, user_id)
        return f"installation:{holder.installation_id}"

    async def _time_zone(self, user_id: str, valid_until: str) -> str:
        """Return the zone of the user's installation; empty where no day is to be reckoned."""
        if not valid_until:
            return ""
        holder = await asyncio.to_thread(self._directory.user, user_id)
        return await self._access.time_zone(holder.installation_id)


def service(identity: Identity, directory: Directory, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = IdentityServicer(identity, directory, access)
    return Service(
        NAME, identity_pb2_grpc.add_IdentityServiceServicer_to_server, servicer, servicer.objects()
    )


def _time_to_wait(context: Context) -> float:
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    return LONGEST_WAIT if remaining is None else max(0.0, min(LONGEST_WAIT, remaining - MARGIN))


def _installation_object(request: pb.ListUsersRequest) -> str:
    return f"installation:{request.installation_id}"


def _user(key: str, state: User) -> pb.User:
    return pb.User(
        id=key,
        installation_id=state.installation_id,
        first_name=state.first_name,
        last_name=state.last_name,
        blocked=state.blocked,
    )


def _identification(key: str, held: Identification) -> pb.Identification:
    return pb.Identification(
        id=key,
        user_id=held.user_id,
        installation_id=held.installation_id or "",
        type=_TYPE_NUMBERS[held.type],
        status=_STATUS_NUMBERS[held.status],
        valid_until=held.valid_until,
    )
