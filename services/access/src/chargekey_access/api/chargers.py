"""Chargers over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from grpc import aio

from chargekey.access.v1 import chargers_pb2 as pb
from chargekey.access.v1 import chargers_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.gateway import Gateway
from chargekey_access.api.words import OVERRIDE_NUMBERS, OVERRIDES, TYPE_NUMBERS, TYPES
from chargekey_access.application import callers
from chargekey_access.application.chargers import Chargers
from chargekey_access.application.check import Check
from chargekey_access.domain.charger import Charger, ReaderQuirks
from chargekey_access.domain.errors import (
    ChargerNotNamedError,
    OverrideMissingError,
    TooManyChargersError,
    TypeUnknownError,
)
from chargekey_access.domain.events import IdentificationType
from chargekey_access.domain.installation import Installation
from chargekey_access.projections import usability
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller, is_administrator
from chargekey_common.grpc.server import Objects, Service, command_context, current_caller
from chargekey_common.pages import anchor, page
from chargekey_common.search import containing

NAME = "chargekey.access.v1.ChargerService"
MOST_CHARGERS = 1000

Context = aio.ServicerContext[Any, Any]


class ChargerServicer(chargers_pb2_grpc.ChargerServiceServicer):
    """Every method of chargers.proto."""

    def __init__(
        self, chargers: Chargers, directory: Directory, check: Check, gateway: Gateway
    ) -> None:
        self._chargers = chargers
        self._directory = directory
        self._check = check
        self._gateway = gateway

    async def AddCharger(self, request: pb.AddChargerRequest, _: Context) -> pb.AddChargerResponse:
        context = command_context(request)
        answer = await asyncio.to_thread(
            self._chargers.add_charger,
            context,
            installation_id=request.installation_id,
            ocpp_identity=request.ocpp_identity,
        )
        password = await asyncio.to_thread(
            self._chargers.password, answer.result, context.command_id
        )
        return pb.AddChargerResponse(
            charger_id=answer.result, password=password, position=str(answer.position)
        )

    async def ReplaceChargerPassword(
        self, request: pb.ReplaceChargerPasswordRequest, _: Context
    ) -> pb.ReplaceChargerPasswordResponse:
        context = command_context(request)
        answer = await asyncio.to_thread(
            self._chargers.replace_charger_password, context, charger_id=request.charger_id
        )
        password = await asyncio.to_thread(
            self._chargers.password, request.charger_id, context.command_id
        )
        return pb.ReplaceChargerPasswordResponse(password=password, position=str(answer.position))

    async def MoveCharger(
        self, request: pb.MoveChargerRequest, _: Context
    ) -> pb.MoveChargerResponse:
        context = command_context(request)
        charger = await asyncio.to_thread(self._directory.sites.charger, request.charger_id)
        if charger.installation_id != request.installation_id:
            await self._require_both_sites(request, Caller(context.actor))
            await self._gateway.require_idle(request.charger_id)
        answer = await asyncio.to_thread(
            self._chargers.move_charger,
            context,
            charger_id=request.charger_id,
            installation_id=request.installation_id,
        )
        return pb.MoveChargerResponse(position=str(answer.position))

    async def SetAuthorisationOverride(
        self, request: pb.SetAuthorisationOverrideRequest, _: Context
    ) -> pb.SetAuthorisationOverrideResponse:
        if request.authorisation_override not in OVERRIDES:
            raise OverrideMissingError
        if request.instead_of and request.instead_of not in OVERRIDES:
            raise OverrideMissingError
        answer = await asyncio.to_thread(
            self._chargers.set_authorisation_override,
            command_context(request),
            charger_id=request.charger_id,
            override=OVERRIDES[request.authorisation_override],
            instead_of=OVERRIDES[request.instead_of] if request.instead_of else None,
        )
        return pb.SetAuthorisationOverrideResponse(position=str(answer.position))

    async def SetIdentificationTypes(
        self, request: pb.SetIdentificationTypesRequest, _: Context
    ) -> pb.SetIdentificationTypesResponse:
        seen = request.instead_of.types if request.HasField("instead_of") else None
        answer = await asyncio.to_thread(
            self._chargers.set_identification_types,
            command_context(request),
            charger_id=request.charger_id,
            types=_types(request.identification_types),
            instead_of=None if seen is None else _types(seen),
        )
        return pb.SetIdentificationTypesResponse(position=str(answer.position))

    async def SetReaderQuirks(
        self, request: pb.SetReaderQuirksRequest, _: Context
    ) -> pb.SetReaderQuirksResponse:
        seen = request.instead_of if request.HasField("instead_of") else None
        answer = await asyncio.to_thread(
            self._chargers.set_reader_quirks,
            command_context(request),
            charger_id=request.charger_id,
            quirks=_quirks(request.reader_quirks),
            instead_of=None if seen is None else _quirks(seen),
        )
        return pb.SetReaderQuirksResponse(position=str(answer.position))

    async def GetCharger(self, request: pb.GetChargerRequest, _: Context) -> pb.GetChargerResponse:
        key = await self._charger_id(request)
        return pb.GetChargerResponse(charger=await asyncio.to_thread(self._charger, key))

    async def ListChargers(
        self, request: pb.ListChargersRequest, _: Context
    ) -> pb.ListChargersResponse:
        _require_few(request.charger_ids)
        return await asyncio.to_thread(self._list, request)

    async def ListUsableChargers(
        self, request: pb.ListUsableChargersRequest, _: Context
    ) -> pb.ListUsableChargersResponse:
        _require_few(request.charger_ids)
        caller = current_caller()
        if not request.user_id and not is_administrator(caller):
            return await asyncio.to_thread(self._list_usable, request, caller)
        await asyncio.to_thread(callers.require_known, self._directory, request.user_id)
        user = Caller(f"user:{request.user_id}")
        return await asyncio.to_thread(self._list_usable, request, user)

    async def ListChargerUsers(
        self, request: pb.ListChargerUsersRequest, _: Context
    ) -> pb.ListChargerUsersResponse:
        return await asyncio.to_thread(self._list_users, request)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "AddCharger": objects.installation,
            "ReplaceChargerPassword": objects.charger,
            "MoveCharger": self._site_of_charger,
            "SetAuthorisationOverride": objects.charger,
            "SetIdentificationTypes": objects.charger,
            "SetReaderQuirks": objects.charger,
            "GetCharger": self._charger_object,
            "ListChargers": objects.installation,
            "ListUsableChargers": objects.user_or_oneself,
            "ListChargerUsers": objects.charger,
        }

    async def _charger_id(self, request: pb.GetChargerRequest) -> str:
        if bool(request.charger_id) == bool(request.ocpp_identity):
            raise ChargerNotNamedError
        if request.charger_id:
            return request.charger_id
        return await asyncio.to_thread(self._directory.sites.charger_id, request.ocpp_identity)

    async def _charger_object(self, request: pb.GetChargerRequest) -> str:
        return f"charger:{await self._charger_id(request)}"

    async def _site_of_charger(self, request: pb.MoveChargerRequest) -> str:
        """Return the site it leaves: who owns but the charger cannot take it away from there."""
        charger = await asyncio.to_thread(self._directory.sites.charger, request.charger_id)
        return f"installation:{charger.installation_id}"

    async def _require_both_sites(self, request: pb.MoveChargerRequest, caller: Caller) -> None:
        """Ask of the site it comes to what was asked of the one it leaves."""
        refusal = await asyncio.to_thread(
            self._check.refusal, caller, "access.MoveCharger", objects.installation(request)
        )
        if refusal is not None:
            raise refusal

    def _list(self, request: pb.ListChargersRequest) -> pb.ListChargersResponse:
        searched = containing(request.search)
        with self._directory.caught_up():
            site = self._directory.sites.installation(request.installation_id)
            chargers = self._directory.sites.ever_at(request.installation_id, request.charger_ids)

            def entry(key: str) -> pb.Charger | None:
                state = self._directory.sites.charger(key)
                if state.installation_id != request.installation_id:
                    return None
                return _told(key, state, site) if searched(state.ocpp_identity) else None

            found = page(request, chargers, entry)
        return pb.ListChargersResponse(chargers=found.entries, next_page_token=found.next_token)

    def _list_usable(
        self, request: pb.ListUsableChargersRequest, holder: Caller
    ) -> pb.ListUsableChargersResponse:
        holdings, sites = self._directory.holdings, self._directory.sites
        searched = containing(request.search)
        with self._directory.caught_up():
            reach = usability.Reach(
                self._directory,
                [
                    held
                    for subject in callers.subjects(self._directory, holder)
                    for held in holdings.of(subject)
                ],
                callers.user_of(holder),
                now=time.time_ns(),
            )

            def entry(key: str) -> pb.UsableCharger | None:
                found = reach.usable(key)
                if found is None:
                    return None
                charger = self._charger(key)
                name = sites.installation(charger.installation_id).name
                if not (searched(charger.ocpp_identity) or searched(name)):
                    return None
                return pb.UsableCharger(
                    charger=charger,
                    installation_name=name,
                    key=found.key,
                    permission_ids=found.rights.permission_ids,
                    valid_until=found.rights.valid_until,
                )

            # Also the one that a page begins behind, when he can use it no more.
            ids = {*(request.charger_ids or reach.chargers()), anchor(request)}
            found = page(request, sites.in_order(ids), entry)
        return pb.ListUsableChargersResponse(
            chargers=found.entries, next_page_token=found.next_token
        )

    def _list_users(self, request: pb.ListChargerUsersRequest) -> pb.ListChargerUsersResponse:
        key = request.charger_id
        with self._directory.caught_up():
            charger = self._charger(key)
            blocked = self._directory.holdings.owners(charger.installation_id).blocked
            users = usability.users_of(self._directory, key, now=time.time_ns())

            def entry(user_id: str) -> pb.ChargerUser | None:
                rights = users.get(user_id)
                if rights is None:
                    return None
                return pb.ChargerUser(
                    user_id=user_id,
                    permission_ids=rights.permission_ids,
                    partner_id=rights.partner_id or "",
                    valid_until=rights.valid_until,
                    blocked=user_id in blocked,
                )

            # In the order of their ids, as they come and go: a page begins behind the last
            # one's id, also when he is gone.
            ids = {*users, anchor(request)} if request.page_token else users
            found = page(request, sorted(ids), entry)
        return pb.ListChargerUsersResponse(
            users=found.entries,
            next_page_token=found.next_token,
            open=not charger.authorisation_required,
        )

    def _charger(self, key: str) -> pb.Charger:
        with self._directory.caught_up():
            state = self._directory.sites.charger(key)
            site = self._directory.sites.installation(state.installation_id)
        return _told(key, state, site)


def service(chargers: Chargers, directory: Directory, check: Check, gateway: Gateway) -> Service:
    """Return the service, to be served."""
    servicer = ChargerServicer(chargers, directory, check, gateway)
    return Service(
        NAME, chargers_pb2_grpc.add_ChargerServiceServicer_to_server, servicer, servicer.objects()
    )


def _require_few(charger_ids: Sequence[str]) -> None:
    if len(charger_ids) > MOST_CHARGERS:
        raise TooManyChargersError


def _types(numbers: Iterable[int]) -> Sequence[IdentificationType]:
    """Read types of identifications; raises TypeUnknownError."""
    listed = list(numbers)
    if any(number not in TYPES for number in listed):
        raise TypeUnknownError
    return [TYPES[number] for number in listed]


def _quirks(quirks: pb.ReaderQuirks) -> ReaderQuirks:
    return ReaderQuirks(quirks.reversed, quirks.truncated, quirks.prefix)


def _told(key: str, state: Charger, site: Installation) -> pb.Charger:
    """Return a charger in the contract's words, of `site`, where it stands."""
    quirks = state.reader_quirks
    return pb.Charger(
        id=key,
        installation_id=state.installation_id,
        ocpp_identity=state.ocpp_identity,
        authorisation_override=OVERRIDE_NUMBERS[state.authorisation_override],
        identification_types=[TYPE_NUMBERS[word] for word in state.identification_types],
        authorisation_required=state.authorisation_required(site),
        override_suspended=state.override_suspended(site),
        reader_quirks=pb.ReaderQuirks(
            reversed=quirks.reversed, truncated=quirks.truncated, prefix=quirks.prefix
        ),
    )
