"""The identifications on the wire: requests to commands, states to answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from grpc import aio

from chargekey.identity.v1 import identifications_pb2 as pb
from chargekey.identity.v1 import identifications_pb2_grpc
from chargekey_common.accounts import Caller
from chargekey_common.grpc.server import Objects, Service, command_context, current_caller
from chargekey_common.pages import page
from chargekey_identity.api.access import Access, Site
from chargekey_identity.api.objects import at_site, installation_object
from chargekey_identity.api.users import known_at
from chargekey_identity.api.words import STATUS_NUMBERS, STATUSES, TYPE_NUMBERS, TYPES
from chargekey_identity.application.identifications import (
    Details,
    Identifications,
    Regrouped,
    Terms,
)
from chargekey_identity.domain import codes
from chargekey_identity.domain.errors import (
    PinCountMalformedError,
    StatusUnknownError,
    TooManyDescribedError,
    TypeUnknownError,
)
from chargekey_identity.domain.identification import Identification
from chargekey_identity.domain.user import User
from chargekey_identity.projections.directory import Directory

NAME = "chargekey.identity.v1.IdentificationService"

MOST_PINS = 20
MOST_DESCRIBED = 1000

Context = aio.ServicerContext[Any, Any]


class IdentificationServicer(identifications_pb2_grpc.IdentificationServiceServicer):
    """The methods of identifications.proto."""

    def __init__(
        self, identifications: Identifications, directory: Directory, access: Access
    ) -> None:
        self._identifications = identifications
        self._directory = directory
        self._access = access

    async def AddIdentification(
        self, request: pb.AddIdentificationRequest, _: Context
    ) -> pb.AddIdentificationResponse:
        if request.type not in TYPES:
            raise TypeUnknownError
        status = request.status or pb.IDENTIFICATION_STATUS_ACTIVE
        if status not in STATUSES:
            raise StatusUnknownError
        holder = await asyncio.to_thread(self._directory.user, request.user_id)
        where = holder.installation_id or request.installation_id
        site = await self._access.site(where) if where else _nowhere(holder)
        answer = await asyncio.to_thread(
            self._identifications.add_identification,
            command_context(request),
            user_id=request.user_id,
            identification_type=TYPES[request.type],
            code=request.code,
            status=STATUSES[status],
            valid_until=request.valid_until,
            time_zone=site.time_zone,
            details=Details(
                installation_id=request.installation_id,
                pin_length=site.pin_length,
                group=request.group,
                group_card=request.group_card,
                by_host=await self._is_by_host(request.user_id, request.installation_id),
            ),
        )
        return pb.AddIdentificationResponse(
            identification_id=answer.result, position=str(answer.position)
        )

    async def ChangeIdentification(
        self, request: pb.ChangeIdentificationRequest, _: Context
    ) -> pb.ChangeIdentificationResponse:
        if request.HasField("status") and request.status not in STATUSES:
            raise StatusUnknownError
        held = await asyncio.to_thread(self._directory.identification, request.identification_id)
        site = await self._site_of(held)
        answer = await asyncio.to_thread(
            self._identifications.change_identification,
            command_context(request),
            identification_id=request.identification_id,
            code=request.code if request.HasField("code") else None,
            status=STATUSES[request.status] if request.HasField("status") else None,
            valid_until=request.valid_until if request.HasField("valid_until") else None,
            time_zone=site.time_zone,
            terms=Terms(
                site.pin_length, await self._is_by_host(held.user_id, held.installation_id)
            ),
            regrouped=Regrouped(
                request.group if request.HasField("group") else None,
                request.group_card if request.HasField("group_card") else None,
            ),
        )
        return pb.ChangeIdentificationResponse(position=str(answer.position))

    async def RemoveIdentification(
        self, request: pb.RemoveIdentificationRequest, _: Context
    ) -> pb.RemoveIdentificationResponse:
        answer = await asyncio.to_thread(
            self._identifications.remove_identification,
            command_context(request),
            identification_id=request.identification_id,
        )
        return pb.RemoveIdentificationResponse(position=str(answer.position))

    async def RevealCode(self, request: pb.RevealCodeRequest, _: Context) -> pb.RevealCodeResponse:
        answer = await asyncio.to_thread(
            self._identifications.reveal_code,
            command_context(request),
            identification_id=request.identification_id,
        )
        return pb.RevealCodeResponse(code=answer.result.text, position=str(answer.position))

    async def ListIdentifications(
        self, request: pb.ListIdentificationsRequest, _: Context
    ) -> pb.ListIdentificationsResponse:
        holder = await asyncio.to_thread(self._directory.user, request.user_id)
        found = await asyncio.to_thread(self._directory.every_identification, request.user_id)

        def entry(key: str) -> pb.Identification | None:
            held = found[key]
            works_at = held.installation_id or holder.installation_id
            elsewhere = request.installation_id and request.installation_id != works_at
            return None if held.removed or elsewhere else _identification(key, held)

        listed = page(request, found, entry)
        return pb.ListIdentificationsResponse(
            identifications=listed.entries, next_page_token=listed.next_token
        )

    async def GeneratePins(
        self, request: pb.GeneratePinsRequest, _: Context
    ) -> pb.GeneratePinsResponse:
        if not 0 <= request.count <= MOST_PINS:
            raise PinCountMalformedError
        site = await self._access.site(request.installation_id)
        caller = current_caller()
        if not await self._access.is_host(caller, request.installation_id):
            await asyncio.to_thread(
                self._identifications.count_offer, caller, request.installation_id
            )
        pins = await asyncio.to_thread(
            self._identifications.free_pins,
            request.installation_id,
            count=request.count or 1,
            pin_length=site.pin_length,
        )
        return pb.GeneratePinsResponse(pins=pins)

    async def DescribeIdentifications(
        self, request: pb.DescribeIdentificationsRequest, _: Context
    ) -> pb.DescribeIdentificationsResponse:
        if len(request.identification_ids) > MOST_DESCRIBED:
            raise TooManyDescribedError
        await self._access.time_zone(request.installation_id)  # it must exist
        described = await asyncio.to_thread(
            self._described, request.installation_id, request.identification_ids, current_caller()
        )
        return pb.DescribeIdentificationsResponse(identifications=described)

    def _described(
        self, installation_id: str, identification_ids: Iterable[str], caller: Caller
    ) -> Sequence[pb.DescribedIdentification]:
        found = self._directory.described(identification_ids)
        holders = self._directory.existing({held.user_id for held in found.values()})
        known = known_at(self._directory, installation_id, holders, caller)
        return [
            pb.DescribedIdentification(
                id=key, type=TYPE_NUMBERS[held.type], holder_name=known[held.user_id].name
            )
            for key, held in found.items()
            if held.user_id in known and known[held.user_id].name
        ]

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "AddIdentification": self._user_object,
            "ChangeIdentification": self._identification_object,
            "RemoveIdentification": self._identification_object,
            "RevealCode": self._identification_object,
            "ListIdentifications": self._user_object,
            "DescribeIdentifications": installation_object,
            "GeneratePins": installation_object,
        }

    async def _user_object(
        self, request: pb.AddIdentificationRequest | pb.ListIdentificationsRequest
    ) -> str:
        return await at_site(self._directory, request.user_id, request.installation_id)

    async def _identification_object(self, request: pb.RevealCodeRequest) -> str:
        held = await asyncio.to_thread(self._directory.identification, request.identification_id)
        return await at_site(self._directory, held.user_id, held.installation_id)

    async def _is_by_host(self, user_id: str, installation_id: str | None) -> bool:
        """Return whether a user does something to his own where he is a host.

        Nobody else is asked about: he is bound by nothing.
        """
        caller = current_caller()
        if not installation_id or caller != f"user:{user_id}":
            return False
        return await self._access.is_host(caller, installation_id)

    async def _site_of(self, held: Identification) -> Site:
        """Return the site whose days and PINs count for an identification (R18)."""
        holder = await asyncio.to_thread(self._directory.user, held.user_id)
        where = holder.installation_id or held.installation_id
        return await self._access.site(where) if where else _nowhere(holder)


def service(identifications: Identifications, directory: Directory, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = IdentificationServicer(identifications, directory, access)
    return Service(
        NAME,
        identifications_pb2_grpc.add_IdentificationServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def _identification(key: str, held: Identification) -> pb.Identification:
    return pb.Identification(
        id=key,
        user_id=held.user_id,
        installation_id=held.installation_id or "",
        type=TYPE_NUMBERS[held.type],
        status=STATUS_NUMBERS[held.status],
        valid_until=held.valid_until,
        group=held.group.label,
        group_card=held.group.card,
    )


def _nowhere(holder: User) -> Site:
    """Return what counts for what works wherever its user may charge: his own days (R18)."""
    return Site(holder.time_zone, codes.SHORTEST_PIN)
