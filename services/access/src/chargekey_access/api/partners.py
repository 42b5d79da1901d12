"""Partners over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from chargekey.access.v1 import partners_pb2 as pb
from chargekey.access.v1 import partners_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.addresses import Addresses
from chargekey_access.api.permissions import page_of
from chargekey_access.api.words import PARTNER_KIND_NUMBERS, PARTNER_KINDS
from chargekey_access.application import callers
from chargekey_access.application.partners import LookupKeys, Partners
from chargekey_access.domain.errors import (
    PartnerKindMissingError,
    SubjectMissingError,
    TooManyPartnersError,
)
from chargekey_access.domain.permission import Subject
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller, is_administrator
from chargekey_common.grpc.server import Objects, Service, command_context, current_caller
from chargekey_common.pages import page

NAME = "chargekey.access.v1.PartnerService"
MOST_PARTNERS = 1000

Context = aio.ServicerContext[Any, Any]


class PartnerServicer(partners_pb2_grpc.PartnerServiceServicer):
    """Every method of partners.proto."""

    def __init__(
        self,
        partners: Partners,
        lookup_keys: LookupKeys,
        directory: Directory,
        addresses: Addresses,
    ) -> None:
        self._partners = partners
        self._lookup_keys = lookup_keys
        self._directory = directory
        self._addresses = addresses

    async def CreatePartner(
        self, request: pb.CreatePartnerRequest, _: Context
    ) -> pb.CreatePartnerResponse:
        if request.kind not in PARTNER_KINDS:
            raise PartnerKindMissingError
        answer = await asyncio.to_thread(
            self._partners.create_partner,
            command_context(request),
            name=request.name,
            kind=PARTNER_KINDS[request.kind],
            contact=request.contact,
            logo_url=request.logo_url,
        )
        return pb.CreatePartnerResponse(
            partner_id=answer.result.partner_id,
            lookup_key=answer.result.lookup_key,
            position=str(answer.position),
        )

    async def ChangePartner(
        self, request: pb.ChangePartnerRequest, _: Context
    ) -> pb.ChangePartnerResponse:
        answer = await asyncio.to_thread(
            self._partners.change_partner,
            command_context(request),
            partner_id=request.partner_id,
            name=request.name if request.HasField("name") else None,
            contact=request.contact if request.HasField("contact") else None,
            logo_url=request.logo_url if request.HasField("logo_url") else None,
        )
        return pb.ChangePartnerResponse(position=str(answer.position))

    async def RotateLookupKey(
        self, request: pb.RotateLookupKeyRequest, _: Context
    ) -> pb.RotateLookupKeyResponse:
        answer = await asyncio.to_thread(
            self._partners.rotate_lookup_key,
            command_context(request),
            partner_id=request.partner_id,
        )
        return pb.RotateLookupKeyResponse(lookup_key=answer.result, position=str(answer.position))

    async def AddPartnerMember(
        self, request: pb.AddPartnerMemberRequest, _: Context
    ) -> pb.AddPartnerMemberResponse:
        # Before somebody is made a user for what is refused.
        await asyncio.to_thread(self._directory.partners.partner, request.partner_id)
        invited = request.WhichOneof("member") == "email"
        user_id = await self._user(request)
        answer = await asyncio.to_thread(
            self._partners.add_partner_member,
            command_context(request),
            partner_id=request.partner_id,
            user_id=user_id,
            manages=request.manages,
            invited=invited,
        )
        return pb.AddPartnerMemberResponse(user_id=user_id, position=str(answer.position))

    async def RemovePartnerMember(
        self, request: pb.RemovePartnerMemberRequest, _: Context
    ) -> pb.RemovePartnerMemberResponse:
        answer = await asyncio.to_thread(
            self._partners.remove_partner_member,
            command_context(request),
            partner_id=request.partner_id,
            user_id=request.user_id,
        )
        return pb.RemovePartnerMemberResponse(position=str(answer.position))

    async def GetPartner(self, request: pb.GetPartnerRequest, _: Context) -> pb.GetPartnerResponse:
        return pb.GetPartnerResponse(
            partner=await asyncio.to_thread(self._partner, request.partner_id)
        )

    async def ListPartners(
        self, request: pb.ListPartnersRequest, _: Context
    ) -> pb.ListPartnersResponse:
        return await asyncio.to_thread(self._list, request, current_caller())

    async def ListPartnerMembers(
        self, request: pb.ListPartnerMembersRequest, _: Context
    ) -> pb.ListPartnerMembersResponse:
        return await asyncio.to_thread(self._list_members, request)

    async def ListPartnerPermissions(
        self, request: pb.ListPartnerPermissionsRequest, _: Context
    ) -> pb.ListPartnerPermissionsResponse:
        return await asyncio.to_thread(self._list_permissions, request)

    async def ListPartnerNames(
        self, request: pb.ListPartnerNamesRequest, _: Context
    ) -> pb.ListPartnerNamesResponse:
        if len(request.partner_ids) > MOST_PARTNERS:
            raise TooManyPartnersError
        return await asyncio.to_thread(self._list_names, request)

    async def SearchPartner(
        self, request: pb.SearchPartnerRequest, _: Context
    ) -> pb.SearchPartnerResponse:
        key = await asyncio.to_thread(self._lookup_keys.find, current_caller(), request.lookup_key)
        found = await asyncio.to_thread(self._directory.partners.partner, key)
        return pb.SearchPartnerResponse(
            partner_id=key,
            name=found.name,
            kind=PARTNER_KIND_NUMBERS[found.kind],
            logo_url=found.logo_url,
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "CreatePartner": objects.system,
            "ChangePartner": objects.partner,
            "RotateLookupKey": objects.partner,
            "AddPartnerMember": objects.partner,
            "RemovePartnerMember": lambda request: (
                f"{objects.partner(request)}/user:{request.user_id}"
            ),
            "GetPartner": objects.partner,
            "ListPartners": objects.system,
            "ListPartnerMembers": objects.partner,
            "ListPartnerPermissions": objects.partner,
            "ListPartnerNames": objects.installation,
            "SearchPartner": objects.system,
        }

    async def _user(self, request: pb.AddPartnerMemberRequest) -> str:
        match request.WhichOneof("member"):
            case "user_id":
                return request.user_id
            case "email":
                return await self._addresses.user_of(current_caller(), request.email)
            case _:
                raise SubjectMissingError

    def _list(self, request: pb.ListPartnersRequest, caller: Caller) -> pb.ListPartnersResponse:
        with self._directory.caught_up():
            mine = {subject.partner_id for subject in callers.subjects(self._directory, caller)}

            def entry(key: str) -> pb.Partner | None:
                return self._partner(key) if is_administrator(caller) or key in mine else None

            found = page(request, self._directory.partners.partner_ids(), entry)
        return pb.ListPartnersResponse(partners=found.entries, next_page_token=found.next_token)

    def _list_members(self, request: pb.ListPartnerMembersRequest) -> pb.ListPartnerMembersResponse:
        partners = self._directory.partners
        with self._directory.caught_up():
            members = partners.partner(request.partner_id).members

            def entry(user_id: str) -> pb.PartnerMember | None:
                if user_id not in members:
                    return None
                return pb.PartnerMember(user_id=user_id, manages=members[user_id])

            found = page(request, partners.ever_in(request.partner_id), entry)
        return pb.ListPartnerMembersResponse(
            members=found.entries, next_page_token=found.next_token
        )

    def _list_permissions(
        self, request: pb.ListPartnerPermissionsRequest
    ) -> pb.ListPartnerPermissionsResponse:
        with self._directory.caught_up():
            self._directory.partners.partner(request.partner_id)  # it must exist
            subject = Subject(partner_id=request.partner_id)
            keys = self._directory.holdings.ever_of(subject)
            found = page_of(request, self._directory, keys)
        return pb.ListPartnerPermissionsResponse(
            permissions=found.entries, next_page_token=found.next_token
        )

    def _list_names(self, request: pb.ListPartnerNamesRequest) -> pb.ListPartnerNamesResponse:
        directory, site = self._directory, request.installation_id
        with directory.caught_up():
            directory.sites.installation(site)  # it must exist
            held = directory.holdings.partners_ever_at(site)
            known = held | directory.access_requests.partners_ever_at(site)
            return pb.ListPartnerNamesResponse(
                partners=[
                    pb.NamedPartner(id=key, name=directory.partners.partner(key).name)
                    for key in known & set(request.partner_ids)
                ]
            )

    def _partner(self, key: str) -> pb.Partner:
        found = self._directory.partners.partner(key)
        return pb.Partner(
            id=key,
            name=found.name,
            kind=PARTNER_KIND_NUMBERS[found.kind],
            lookup_key=found.lookup_key,
            contact=found.contact,
            logo_url=found.logo_url,
        )


def service(
    partners: Partners, lookup_keys: LookupKeys, directory: Directory, addresses: Addresses
) -> Service:
    """Return the service, to be served."""
    servicer = PartnerServicer(partners, lookup_keys, directory, addresses)
    return Service(
        NAME, partners_pb2_grpc.add_PartnerServiceServicer_to_server, servicer, servicer.objects()
    )
