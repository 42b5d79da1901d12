"""Ownership, and blocks at installations, over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from chargekey.access.v1 import owners_pb2 as pb
from chargekey.access.v1 import owners_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.addresses import Addresses
from chargekey_access.api.permissions import MOST_USERS
from chargekey_access.application.owners import Owners
from chargekey_access.domain.errors import SubjectMissingError, TooManyUsersError
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller
from chargekey_common.grpc.server import Objects, Service, command_context
from chargekey_common.pages import page

NAME = "chargekey.access.v1.OwnersService"

Context = aio.ServicerContext[Any, Any]


class OwnersServicer(owners_pb2_grpc.OwnersServiceServicer):
    """Every method of owners.proto."""

    def __init__(self, owners: Owners, directory: Directory, addresses: Addresses) -> None:
        self._owners = owners
        self._directory = directory
        self._addresses = addresses

    async def BlockUserAtInstallation(
        self, request: pb.BlockUserAtInstallationRequest, _: Context
    ) -> pb.BlockUserAtInstallationResponse:
        answer = await asyncio.to_thread(
            self._owners.block_user_at_installation,
            command_context(request),
            installation_id=request.installation_id,
            user_id=request.user_id,
        )
        open_chargers = await asyncio.to_thread(
            self._directory.sites.open_chargers, request.installation_id
        )
        return pb.BlockUserAtInstallationResponse(
            position=str(answer.position), open_chargers=open_chargers
        )

    async def UnblockUserAtInstallation(
        self, request: pb.UnblockUserAtInstallationRequest, _: Context
    ) -> pb.UnblockUserAtInstallationResponse:
        answer = await asyncio.to_thread(
            self._owners.unblock_user_at_installation,
            command_context(request),
            installation_id=request.installation_id,
            user_id=request.user_id,
        )
        return pb.UnblockUserAtInstallationResponse(position=str(answer.position))

    async def ListBlockedUsers(
        self, request: pb.ListBlockedUsersRequest, _: Context
    ) -> pb.ListBlockedUsersResponse:
        if len(request.user_ids) > MOST_USERS:
            raise TooManyUsersError
        return await asyncio.to_thread(self._list_blocked, request)

    async def GetOwners(self, request: pb.GetOwnersRequest, _: Context) -> pb.GetOwnersResponse:
        return await asyncio.to_thread(self._get_owners, request.installation_id)

    async def OfferOwnership(
        self, request: pb.OfferOwnershipRequest, _: Context
    ) -> pb.OfferOwnershipResponse:
        context = command_context(request)
        which = request.WhichOneof("new_owner")
        if which is None:
            raise SubjectMissingError
        user_id = request.user_id
        if which == "email":
            caller = Caller(context.actor)
            # Before somebody is made a user for what is refused.
            await asyncio.to_thread(self._owners.require_offerable, caller, request.installation_id)
            user_id = await self._addresses.user_of(caller, request.email)
        answer = await asyncio.to_thread(
            self._owners.offer_ownership,
            context,
            installation_id=request.installation_id,
            user_id=user_id,
            invited=which == "email",
        )
        return pb.OfferOwnershipResponse(position=str(answer.position))

    async def AcceptOwnership(
        self, request: pb.AcceptOwnershipRequest, _: Context
    ) -> pb.AcceptOwnershipResponse:
        answer = await asyncio.to_thread(
            self._owners.accept_ownership,
            command_context(request),
            installation_id=request.installation_id,
        )
        return pb.AcceptOwnershipResponse(position=str(answer.position))

    async def WithdrawOwnershipOffer(
        self, request: pb.WithdrawOwnershipOfferRequest, _: Context
    ) -> pb.WithdrawOwnershipOfferResponse:
        answer = await asyncio.to_thread(
            self._owners.withdraw_ownership_offer,
            command_context(request),
            installation_id=request.installation_id,
        )
        return pb.WithdrawOwnershipOfferResponse(position=str(answer.position))

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "BlockUserAtInstallation": objects.installation,
            "UnblockUserAtInstallation": objects.installation,
            "ListBlockedUsers": objects.installation,
            "GetOwners": objects.installation,
            "OfferOwnership": objects.installation,
            "AcceptOwnership": objects.installation,
            "WithdrawOwnershipOffer": objects.installation,
        }

    def _get_owners(self, installation_id: str) -> pb.GetOwnersResponse:
        with self._directory.caught_up():
            self._directory.sites.installation(installation_id)  # it must exist
            found = self._directory.holdings.owners(installation_id).owners
        return pb.GetOwnersResponse(user_ids=sorted(found))

    def _list_blocked(self, request: pb.ListBlockedUsersRequest) -> pb.ListBlockedUsersResponse:
        installation_id = request.installation_id
        with self._directory.caught_up():
            self._directory.sites.installation(installation_id)  # it must exist
            blocked = self._directory.holdings.owners(installation_id).blocked
            found = page(
                request,
                self._directory.holdings.ever_blocked(installation_id, request.user_ids),
                lambda user_id: user_id if user_id in blocked else None,
            )
        return pb.ListBlockedUsersResponse(user_ids=found.entries, next_page_token=found.next_token)


def service(owners: Owners, directory: Directory, addresses: Addresses) -> Service:
    """Return the service, to be served."""
    servicer = OwnersServicer(owners, directory, addresses)
    return Service(
        NAME, owners_pb2_grpc.add_OwnersServiceServicer_to_server, servicer, servicer.objects()
    )
