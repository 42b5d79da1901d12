"""Permissions over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from grpc import aio

from chargekey.access.v1 import permissions_pb2 as pb
from chargekey.access.v1 import permissions_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.addresses import Addresses
from chargekey_access.api.targets import roles_of, target_object, target_of
from chargekey_access.api.words import ROLE_NUMBERS
from chargekey_access.application import callers
from chargekey_access.application.forgetting import Forgetting
from chargekey_access.application.partners import LookupKeys
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain import permission
from chargekey_access.domain.errors import (
    SubjectMissingError,
    TooManyUsersError,
    UserUnknownError,
)
from chargekey_access.domain.permission import Permission, Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller
from chargekey_common.grpc.server import Objects, Service, command_context, current_caller
from chargekey_common.pages import Asked, Page, page

NAME = "chargekey.access.v1.PermissionService"
MOST_USERS = 1000

Context = aio.ServicerContext[Any, Any]


class PermissionServicer(permissions_pb2_grpc.PermissionServiceServicer):
    """Every method of permissions.proto."""

    def __init__(
        self,
        permissions: Permissions,
        forgetting: Forgetting,
        directory: Directory,
        addresses: Addresses,
        lookup_keys: LookupKeys,
    ) -> None:
        self._lookup_keys = lookup_keys
        self._permissions = permissions
        self._forgetting = forgetting
        self._directory = directory
        self._addresses = addresses

    async def GrantPermission(
        self, request: pb.GrantPermissionRequest, _: Context
    ) -> pb.GrantPermissionResponse:
        context = command_context(request)
        target, roles = await target_of(self._directory, request), roles_of(request.roles)
        if request.WhichOneof("subject") == "email":
            # Before somebody is made a user for what is refused.
            await asyncio.to_thread(
                self._permissions.require_grantable,
                Caller(context.actor),
                target=target,
                roles=roles,
                valid_until=request.valid_until,
            )
        answer = await asyncio.to_thread(
            self._permissions.grant_permission,
            context,
            target=target,
            subject=await self._subject(request),
            roles=roles,
            valid_until=request.valid_until,
            invited=request.WhichOneof("subject") == "email",
        )
        return pb.GrantPermissionResponse(
            permission_id=answer.result, position=str(answer.position)
        )

    async def ChangePermission(
        self, request: pb.ChangePermissionRequest, _: Context
    ) -> pb.ChangePermissionResponse:
        answer = await asyncio.to_thread(
            self._permissions.change_permission,
            command_context(request),
            permission_id=request.permission_id,
            roles=roles_of(request.roles),
            valid_until=request.valid_until if request.HasField("valid_until") else None,
        )
        return pb.ChangePermissionResponse(position=str(answer.position))

    async def RevokePermission(
        self, request: pb.RevokePermissionRequest, _: Context
    ) -> pb.RevokePermissionResponse:
        answer = await asyncio.to_thread(
            self._permissions.revoke_permission,
            command_context(request),
            permission_id=request.permission_id,
        )
        return pb.RevokePermissionResponse(position=str(answer.position))

    async def GetPermission(
        self, request: pb.GetPermissionRequest, _: Context
    ) -> pb.GetPermissionResponse:
        held = await asyncio.to_thread(self._directory.holdings.permission, request.permission_id)
        return pb.GetPermissionResponse(
            permission=told(self._directory, request.permission_id, permission.existing(held))
        )

    async def ListPermissions(
        self, request: pb.ListPermissionsRequest, _: Context
    ) -> pb.ListPermissionsResponse:
        if len(request.user_ids) > MOST_USERS:
            raise TooManyUsersError
        target = await target_of(self._directory, request)
        found = await asyncio.to_thread(self._on, request, target)
        return pb.ListPermissionsResponse(
            permissions=found.entries, next_page_token=found.next_token
        )

    async def ListPermissionsOfUser(
        self, request: pb.ListPermissionsOfUserRequest, _: Context
    ) -> pb.ListPermissionsOfUserResponse:
        own = callers.user_of(current_caller())
        user_id = request.user_id or own
        if user_id is None:
            raise UserUnknownError
        found = await asyncio.to_thread(self._of_user, request, user_id, known=user_id == own)
        return pb.ListPermissionsOfUserResponse(
            permissions=found.entries, next_page_token=found.next_token
        )

    async def ForgetUser(self, request: pb.ForgetUserRequest, _: Context) -> pb.ForgetUserResponse:
        answer = await asyncio.to_thread(
            self._forgetting.forget_user, command_context(request), user_id=request.user_id
        )
        return pb.ForgetUserResponse(position=str(answer.position))

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "GrantPermission": target_object,
            "ChangePermission": objects.permission,
            "RevokePermission": objects.permission,
            "GetPermission": objects.permission,
            "ListPermissions": target_object,
            "ListPermissionsOfUser": objects.user_or_oneself,
            "ForgetUser": objects.system,
        }

    async def _subject(self, request: pb.GrantPermissionRequest) -> Subject:
        match request.WhichOneof("subject"):
            case "user_id":
                return Subject(request.user_id)
            case "email":
                return Subject(await self._addresses.user_of(current_caller(), request.email))
            case "partner_id":
                return Subject(partner_id=request.partner_id)
            case "lookup_key":
                found = await asyncio.to_thread(
                    self._lookup_keys.find, current_caller(), request.lookup_key
                )
                return Subject(partner_id=found)
            case _:
                raise SubjectMissingError

    def _on(self, request: pb.ListPermissionsRequest, target: Target) -> Page[pb.Permission]:
        holdings = self._directory.holdings
        keys = (
            holdings.ever_on_of(target, map(Subject, request.user_ids))
            if request.user_ids
            else holdings.ever_on(target)
        )
        return page_of(request, self._directory, keys)

    def _of_user(self, asked: Asked, user_id: str, *, known: bool) -> Page[pb.Permission]:
        if not known:
            callers.require_known(self._directory, user_id)
        keys = self._directory.holdings.ever_of(Subject(user_id))
        return page_of(asked, self._directory, keys)


def service(
    permissions: Permissions,
    forgetting: Forgetting,
    directory: Directory,
    addresses: Addresses,
    lookup_keys: LookupKeys,
) -> Service:
    """Return the service, to be served."""
    servicer = PermissionServicer(permissions, forgetting, directory, addresses, lookup_keys)
    return Service(
        NAME,
        permissions_pb2_grpc.add_PermissionServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def page_of(asked: Asked, directory: Directory, keys: Sequence[str]) -> Page[pb.Permission]:
    """Return a page of those of the permissions that hold."""
    with directory.caught_up():

        def entry(key: str) -> pb.Permission | None:
            held = directory.holdings.permission(key)
            return told(directory, key, held) if held.holds else None

        return page(asked, keys, entry)


def told(directory: Directory, key: str, held: Permission) -> pb.Permission:
    """Return a permission in the contract's words; blocking.

    Whoever may know of a permission may know what the partner calls itself that holds it, and
    what the charger connects as that it is on.
    """
    partner_id, charger_id = held.subject.partner_id, held.target.charger_id
    return pb.Permission(
        id=key,
        installation_id=held.target.installation_id,
        charger_id=charger_id or "",
        ocpp_identity=directory.sites.charger(charger_id).ocpp_identity if charger_id else "",
        user_id=held.subject.user_id or "",
        partner_id=partner_id or "",
        partner_name=directory.partners.partner(partner_id).name if partner_id else "",
        roles=[ROLE_NUMBERS[role] for role in held.roles],
        valid_until=held.valid_until,
    )
