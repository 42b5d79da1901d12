"""The gRPC service: requests to commands, states to answers, and nothing between."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from chargekey.access.v1 import access_pb2 as pb
from chargekey.access.v1 import access_pb2_grpc
from chargekey_access.application import REACTIONS, Access
from chargekey_access.domain.errors import (
    ChargerNotNamedError,
    ForeignPositionError,
    OverrideMissingError,
    ReactionSetAsideError,
    ReactionUnknownError,
    RolesMissingError,
    TargetMissingError,
    TypeUnknownError,
)
from chargekey_access.domain.events import IdentificationType, Override, Role
from chargekey_access.domain.installation import Installation
from chargekey_access.domain.permission import Permission, Target
from chargekey_common.accounts import Caller
from chargekey_common.eventstore.waiting import HandledPositions
from chargekey_common.grpc.server import Objects, Service, command_context
from chargekey_common.positions import Position

NAME = "chargekey.access.v1.AccessService"

_OVERRIDES: dict[int, Override] = {
    pb.AUTHORISATION_OVERRIDE_INHERIT: "INHERIT",
    pb.AUTHORISATION_OVERRIDE_REQUIRED: "REQUIRED",
    pb.AUTHORISATION_OVERRIDE_NOT_REQUIRED: "NOT_REQUIRED",
}
_ROLES: dict[int, Role] = {
    pb.ROLE_OWNER: "OWNER",
    pb.ROLE_USER: "USER",
    pb.ROLE_SERVICE: "SERVICE",
    pb.ROLE_OPERATOR: "OPERATOR",
}
_TYPES: dict[int, IdentificationType] = {
    pb.IDENTIFICATION_TYPE_RFID: "RFID",
    pb.IDENTIFICATION_TYPE_PIN: "PIN",
    pb.IDENTIFICATION_TYPE_APP: "APP",
}
_OVERRIDE_NUMBERS: dict[Override, Any] = {word: number for number, word in _OVERRIDES.items()}
_ROLE_NUMBERS: dict[Role, Any] = {word: number for number, word in _ROLES.items()}
_TYPE_NUMBERS: dict[IdentificationType, Any] = {word: number for number, word in _TYPES.items()}

Context = aio.ServicerContext[Any, Any]


class AccessServicer(access_pb2_grpc.AccessServiceServicer):
    """Every method of access.proto."""

    def __init__(self, access: Access, handled: HandledPositions) -> None:
        self._access = access
        self._directory = access.directory
        self._handled = handled

    async def CreateInstallation(
        self, request: pb.CreateInstallationRequest, _: Context
    ) -> pb.CreateInstallationResponse:
        answer = await asyncio.to_thread(
            self._access.create_installation,
            command_context(request),
            name=request.name,
            time_zone=request.time_zone,
        )
        return pb.CreateInstallationResponse(
            installation_id=answer.result, position=str(answer.position)
        )

    async def SetAuthorisationRequired(
        self, request: pb.SetAuthorisationRequiredRequest, _: Context
    ) -> pb.SetAuthorisationRequiredResponse:
        answer = await asyncio.to_thread(
            self._access.set_authorisation_required,
            command_context(request),
            installation_id=request.installation_id,
            required=request.authorisation_required,
        )
        return pb.SetAuthorisationRequiredResponse(position=str(answer.position))

    async def GetInstallation(
        self, request: pb.GetInstallationRequest, _: Context
    ) -> pb.GetInstallationResponse:
        site = await asyncio.to_thread(self._directory.installation, request.installation_id)
        return pb.GetInstallationResponse(installation=_installation(request.installation_id, site))

    async def ListInstallations(
        self, _: pb.ListInstallationsRequest, __: Context
    ) -> pb.ListInstallationsResponse:
        found = await asyncio.to_thread(self._directory.installations)
        return pb.ListInstallationsResponse(
            installations=[_installation(key, site) for key, site in found]
        )

    async def AddCharger(self, request: pb.AddChargerRequest, _: Context) -> pb.AddChargerResponse:
        context = command_context(request)
        answer = await asyncio.to_thread(
            self._access.add_charger,
            context,
            installation_id=request.installation_id,
            ocpp_identity=request.ocpp_identity,
        )
        return pb.AddChargerResponse(
            charger_id=answer.result,
            password=self._access.password(answer.result, context.command_id),
            position=str(answer.position),
        )

    async def SetAuthorisationOverride(
        self, request: pb.SetAuthorisationOverrideRequest, _: Context
    ) -> pb.SetAuthorisationOverrideResponse:
        if request.authorisation_override not in _OVERRIDES:
            raise OverrideMissingError
        answer = await asyncio.to_thread(
            self._access.set_authorisation_override,
            command_context(request),
            charger_id=request.charger_id,
            override=_OVERRIDES[request.authorisation_override],
        )
        return pb.SetAuthorisationOverrideResponse(position=str(answer.position))

    async def SetIdentificationTypes(
        self, request: pb.SetIdentificationTypesRequest, _: Context
    ) -> pb.SetIdentificationTypesResponse:
        if any(number not in _TYPES for number in request.identification_types):
            raise TypeUnknownError
        answer = await asyncio.to_thread(
            self._access.set_identification_types,
            command_context(request),
            charger_id=request.charger_id,
            types=[_TYPES[number] for number in request.identification_types],
        )
        return pb.SetIdentificationTypesResponse(position=str(answer.position))

    async def GetCharger(self, request: pb.GetChargerRequest, _: Context) -> pb.GetChargerResponse:
        key = await self._charger_id(request)
        return pb.GetChargerResponse(charger=await asyncio.to_thread(self._charger, key))

    async def ListChargers(
        self, request: pb.ListChargersRequest, _: Context
    ) -> pb.ListChargersResponse:
        found = await asyncio.to_thread(self._directory.chargers, request.installation_id)
        return pb.ListChargersResponse(
            chargers=[await asyncio.to_thread(self._charger, key) for key, _ in found]
        )

    async def GrantPermission(
        self, request: pb.GrantPermissionRequest, _: Context
    ) -> pb.GrantPermissionResponse:
        if any(number not in _ROLES for number in request.roles):
            raise RolesMissingError
        answer = await asyncio.to_thread(
            self._access.grant_permission,
            command_context(request),
            target=await self._target(request),
            user_id=request.user_id,
            roles=[_ROLES[number] for number in request.roles],
            valid_until=request.valid_until,
        )
        return pb.GrantPermissionResponse(
            permission_id=answer.result, position=str(answer.position)
        )

    async def RevokePermission(
        self, request: pb.RevokePermissionRequest, _: Context
    ) -> pb.RevokePermissionResponse:
        answer = await asyncio.to_thread(
            self._access.revoke_permission,
            command_context(request),
            permission_id=request.permission_id,
        )
        return pb.RevokePermissionResponse(position=str(answer.position))

    async def ListPermissions(
        self, request: pb.ListPermissionsRequest, _: Context
    ) -> pb.ListPermissionsResponse:
        found = await asyncio.to_thread(self._directory.permissions, await self._target(request))
        return pb.ListPermissionsResponse(
            permissions=[_permission(key, held) for key, held in found]
        )

    async def FindUser(self, request: pb.FindUserRequest, _: Context) -> pb.FindUserResponse:
        await asyncio.to_thread(self._directory.require_user, request.user_id)
        return pb.FindUserResponse()

    async def Check(self, request: pb.CheckRequest, _: Context) -> pb.CheckResponse:
        allowed = await asyncio.to_thread(
            self._access.allowed, Caller(request.caller), request.action, request.object
        )
        return pb.CheckResponse(allowed=allowed)

    async def AwaitReaction(
        self, request: pb.AwaitReactionRequest, _: Context
    ) -> pb.AwaitReactionResponse:
        followed = REACTIONS.get(request.reaction)
        if followed is None:
            raise ReactionUnknownError
        wanted = Position.parse(request.position)
        if wanted.service != followed.stream:
            raise ForeignPositionError
        position = await self._handled.wait_for(request.reaction, wanted)
        # Handled, too, is what was only put away.
        waiting = await asyncio.to_thread(self._access.store.set_aside_for, request.reaction)
        if any(event.position == wanted for event in waiting):
            raise ReactionSetAsideError
        return pb.AwaitReactionResponse(position=str(position))

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "CreateInstallation": _system,
            "SetAuthorisationRequired": _installation_object,
            "GetInstallation": _installation_object,
            "ListInstallations": _system,
            "AddCharger": _installation_object,
            "SetAuthorisationOverride": _charger_object,
            "SetIdentificationTypes": _charger_object,
            "GetCharger": self._charger_object,
            "ListChargers": _installation_object,
            "GrantPermission": _target_object,
            "RevokePermission": lambda request: f"permission:{request.permission_id}",
            "ListPermissions": _target_object,
            "FindUser": _system,
            "Check": _system,
            "AwaitReaction": _system,
        }

    async def _charger_id(self, request: pb.GetChargerRequest) -> str:
        if bool(request.charger_id) == bool(request.ocpp_identity):
            raise ChargerNotNamedError
        if request.charger_id:
            return request.charger_id
        return await asyncio.to_thread(self._directory.charger_id, request.ocpp_identity)

    async def _charger_object(self, request: pb.GetChargerRequest) -> str:
        return f"charger:{await self._charger_id(request)}"

    async def _target(
        self, request: pb.GrantPermissionRequest | pb.ListPermissionsRequest
    ) -> Target:
        match request.WhichOneof("target"):
            case "charger_id":
                charger = await asyncio.to_thread(self._directory.charger, request.charger_id)
                return Target(charger.installation_id, request.charger_id)
            case "installation_id":
                # It must exist.
                await asyncio.to_thread(self._directory.installation, request.installation_id)
                return Target(request.installation_id)
            case _:
                raise TargetMissingError

    def _charger(self, key: str) -> pb.Charger:
        state = self._directory.charger(key)
        site = self._directory.installation(state.installation_id)
        return pb.Charger(
            id=key,
            installation_id=state.installation_id,
            ocpp_identity=state.ocpp_identity,
            authorisation_override=_OVERRIDE_NUMBERS[state.authorisation_override],
            identification_types=[_TYPE_NUMBERS[word] for word in state.identification_types],
            authorisation_required=state.authorisation_required(
                by_installation=site.authorisation_required
            ),
        )


def service(access: Access, handled: HandledPositions) -> Service:
    """Return the service, to be served."""
    servicer = AccessServicer(access, handled)
    return Service(
        NAME, access_pb2_grpc.add_AccessServiceServicer_to_server, servicer, servicer.objects()
    )


def _system(_: object) -> str:
    return "system"


def _installation_object(request: pb.GetInstallationRequest) -> str:
    return f"installation:{request.installation_id}"


def _charger_object(request: pb.SetIdentificationTypesRequest) -> str:
    return f"charger:{request.charger_id}"


def _target_object(request: pb.GrantPermissionRequest) -> str:
    if request.WhichOneof("target") == "charger_id":
        return f"charger:{request.charger_id}"
    return f"installation:{request.installation_id}"


def _installation(key: str, site: Installation) -> pb.Installation:
    return pb.Installation(
        id=key,
        name=site.name,
        time_zone=site.time_zone,
        authorisation_required=site.authorisation_required,
    )


def _permission(key: str, held: Permission) -> pb.Permission:
    return pb.Permission(
        id=key,
        installation_id=held.target.installation_id,
        charger_id=held.target.charger_id or "",
        user_id=held.user_id,
        roles=[_ROLE_NUMBERS[role] for role in held.roles],
        valid_until=held.valid_until,
    )
