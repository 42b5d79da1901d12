"""Installations over gRPC."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from grpc import aio

from chargekey.access.v1 import installations_pb2 as pb
from chargekey.access.v1 import installations_pb2_grpc
from chargekey_access.api import objects
from chargekey_access.api.words import (
    AUTHENTICATION_TYPE_NUMBERS,
    AUTHENTICATION_TYPES,
    ON_OPERATOR_TIMEOUT,
    ON_OPERATOR_TIMEOUT_NUMBERS,
    ON_VIEW_BEHIND,
    ON_VIEW_BEHIND_NUMBERS,
    RUNNING_SESSIONS,
    RUNNING_SESSIONS_NUMBERS,
)
from chargekey_access.application import callers
from chargekey_access.application.installations import Installations
from chargekey_access.application.partners import LookupKeys
from chargekey_access.domain.address import Address, address
from chargekey_access.domain.errors import (
    AuthenticationTypeMissingError,
    OperatorNotNamedError,
    PolicyMissingError,
    TooManyInstallationsError,
)
from chargekey_access.domain.installation import Policies
from chargekey_access.domain.permission import Target
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller, is_administrator, service_account
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.grpc.server import Objects, Service, command_context, current_caller
from chargekey_common.pages import page
from chargekey_common.search import containing

NAME = "chargekey.access.v1.InstallationService"
# Whose ids one request names.
MOST_INSTALLATIONS = 1000
# It mails an offer only while it stands.
_NOTIFIER = service_account("notifier")

Context = aio.ServicerContext[Any, Any]


class InstallationServicer(installations_pb2_grpc.InstallationServiceServicer):
    """Every method of installations.proto."""

    def __init__(
        self, installations: Installations, directory: Directory, lookup_keys: LookupKeys
    ) -> None:
        self._installations = installations
        self._directory = directory
        self._lookup_keys = lookup_keys

    async def CreateInstallation(
        self, request: pb.CreateInstallationRequest, _: Context
    ) -> pb.CreateInstallationResponse:
        context = command_context(request)
        owner_id = callers.user_of(context.actor)
        if owner_id is None and not is_administrator(context.actor):
            raise PermissionDeniedError
        home = await asyncio.to_thread(self._directory.holdings.home_of, owner_id or "")
        answer = await asyncio.to_thread(
            self._installations.create_installation,
            context,
            name=request.name,
            time_zone=request.time_zone,
            owner_id=owner_id,
            kind="PERSON" if home is None else "LOCAL",
        )
        return pb.CreateInstallationResponse(
            installation_id=answer.result, position=str(answer.position)
        )

    async def RenameInstallation(
        self, request: pb.RenameInstallationRequest, _: Context
    ) -> pb.RenameInstallationResponse:
        answer = await asyncio.to_thread(
            self._installations.rename_installation,
            command_context(request),
            installation_id=request.installation_id,
            name=request.name,
            instead_of=request.instead_of or None,
        )
        return pb.RenameInstallationResponse(position=str(answer.position))

    async def SetInstallationAddress(
        self, request: pb.SetInstallationAddressRequest, _: Context
    ) -> pb.SetInstallationAddressResponse:
        given = request.address
        seen = request.instead_of if request.HasField("instead_of") else None
        answer = await asyncio.to_thread(
            self._installations.set_address,
            command_context(request),
            installation_id=request.installation_id,
            address=address(
                address=given.address,
                postal_code=given.postal_code,
                city=given.city,
                country=given.country,
                latitude=given.latitude,
                longitude=given.longitude,
            ),
            instead_of=None if seen is None else _as_seen(seen),
        )
        return pb.SetInstallationAddressResponse(position=str(answer.position))

    async def GetInstallation(
        self, request: pb.GetInstallationRequest, _: Context
    ) -> pb.GetInstallationResponse:
        found = await asyncio.to_thread(
            self._installation, request.installation_id, current_caller()
        )
        return pb.GetInstallationResponse(installation=found)

    async def ListInstallations(
        self, request: pb.ListInstallationsRequest, _: Context
    ) -> pb.ListInstallationsResponse:
        if len(request.installation_ids) > MOST_INSTALLATIONS:
            raise TooManyInstallationsError
        return await asyncio.to_thread(self._list, request, current_caller())

    async def SetAuthorisationRequired(
        self, request: pb.SetAuthorisationRequiredRequest, _: Context
    ) -> pb.SetAuthorisationRequiredResponse:
        answer = await asyncio.to_thread(
            self._installations.set_authorisation_required,
            command_context(request),
            installation_id=request.installation_id,
            required=request.authorisation_required,
        )
        return pb.SetAuthorisationRequiredResponse(position=str(answer.position))

    async def SetAuthenticationType(
        self, request: pb.SetAuthenticationTypeRequest, _: Context
    ) -> pb.SetAuthenticationTypeResponse:
        if request.authentication_type not in AUTHENTICATION_TYPES:
            raise AuthenticationTypeMissingError
        answer = await asyncio.to_thread(
            self._installations.set_authentication_type,
            command_context(request),
            installation_id=request.installation_id,
            authentication_type=AUTHENTICATION_TYPES[request.authentication_type],
        )
        return pb.SetAuthenticationTypeResponse(position=str(answer.position))

    async def SetPolicies(
        self, request: pb.SetPoliciesRequest, _: Context
    ) -> pb.SetPoliciesResponse:
        seen = request.instead_of if request.HasField("instead_of") else None
        answer = await asyncio.to_thread(
            self._installations.set_policies,
            command_context(request),
            installation_id=request.installation_id,
            policies=_policies(request.policies),
            instead_of=None if seen is None else _policies(seen),
        )
        return pb.SetPoliciesResponse(position=str(answer.position))

    async def ConnectOperator(
        self, request: pb.ConnectOperatorRequest, _: Context
    ) -> pb.ConnectOperatorResponse:
        asked = request.authentication_type or pb.AUTHENTICATION_TYPE_NATIVE
        if asked not in AUTHENTICATION_TYPES:
            raise AuthenticationTypeMissingError
        answer = await asyncio.to_thread(
            self._installations.connect_operator,
            command_context(request),
            installation_id=request.installation_id,
            partner_id=await self._operator(request),
            authentication_type=AUTHENTICATION_TYPES[asked],
            overrides_allowed=request.overrides_allowed,
        )
        return pb.ConnectOperatorResponse(
            permission_id=answer.result, position=str(answer.position)
        )

    async def DisconnectOperator(
        self, request: pb.DisconnectOperatorRequest, _: Context
    ) -> pb.DisconnectOperatorResponse:
        answer = await asyncio.to_thread(
            self._installations.disconnect_operator,
            command_context(request),
            installation_id=request.installation_id,
        )
        return pb.DisconnectOperatorResponse(position=str(answer.position))

    async def SetOverridesAllowed(
        self, request: pb.SetOverridesAllowedRequest, _: Context
    ) -> pb.SetOverridesAllowedResponse:
        answer = await asyncio.to_thread(
            self._installations.set_overrides_allowed,
            command_context(request),
            installation_id=request.installation_id,
            allowed=request.overrides_allowed,
        )
        return pb.SetOverridesAllowedResponse(position=str(answer.position))

    async def _operator(self, request: pb.ConnectOperatorRequest) -> str:
        match request.WhichOneof("operator"):
            case "partner_id":
                return request.partner_id
            case "lookup_key":
                find = self._lookup_keys.find
                return await asyncio.to_thread(find, current_caller(), request.lookup_key)
            case _:
                raise OperatorNotNamedError

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "CreateInstallation": objects.system,
            "RenameInstallation": objects.installation,
            "SetInstallationAddress": objects.installation,
            "GetInstallation": objects.installation,
            "ListInstallations": objects.system,
            "SetAuthorisationRequired": objects.installation,
            "SetAuthenticationType": objects.installation,
            "SetPolicies": objects.installation,
            "ConnectOperator": objects.installation,
            "DisconnectOperator": objects.installation,
            "SetOverridesAllowed": objects.installation,
        }

    def _list(
        self, request: pb.ListInstallationsRequest, caller: Caller
    ) -> pb.ListInstallationsResponse:
        now = time.time_ns()
        searched = containing(request.search)
        wanted = frozenset(request.installation_ids)
        with self._directory.caught_up():
            mine = {
                key
                for subject in callers.subjects(self._directory, caller)
                for key in self._directory.holdings.installations(subject, now=now)
            }

            sites = dict(self._directory.sites.installations())

            def entry(key: str) -> pb.Installation | None:
                offered = callers.is_offered(self._directory, caller, key)
                if not (is_administrator(caller) or key in mine or offered):
                    return None
                if wanted and key not in wanted:
                    return None
                return self._installation(key, caller) if searched(sites[key].name) else None

            found = page(request, sites, entry)
        return pb.ListInstallationsResponse(
            installations=found.entries, next_page_token=found.next_token
        )

    def _installation(self, key: str, caller: Caller) -> pb.Installation:
        """Return an installation with what this caller is shown of it."""
        with self._directory.caught_up():
            site = self._directory.sites.installation(key)
            owners = self._directory.holdings.owners(key)
            offer = owners.offer
            told_offer = (
                is_administrator(caller)
                or caller == _NOTIFIER
                or callers.user_of(caller) in owners.owners
                or callers.is_offered(self._directory, caller, key)
            )
            whole = self._is_of_the_whole(key, caller)
            return pb.Installation(
                id=key,
                name=site.name,
                time_zone=site.time_zone,
                authorisation_required=site.authorisation_required,
                authentication_type=AUTHENTICATION_TYPE_NUMBERS[site.authentication_type],
                policies=_told(site.policies) if whole else None,
                managed_by=self._managed_by(site.managed_by, allowed=site.overrides_allowed),
                open_chargers=self._directory.sites.open_chargers(key) if whole else 0,
                ownership_offered_to=offer.to_user_id if told_offer and offer else "",
                address=_place(site.address),
            )

    def _is_of_the_whole(self, key: str, caller: Caller) -> bool:
        """Return whether the caller is told what is not about a charger of his, or an offer."""
        if not caller.startswith(("user:", "partner:")):
            return True
        return bool(callers.roles(self._directory, caller, Target(key), now=time.time_ns()))

    def _managed_by(self, partner_id: str | None, *, allowed: bool) -> pb.ManagedBy | None:
        if partner_id is None:
            return None
        operator = self._directory.partners.partner(partner_id)
        return pb.ManagedBy(
            partner_id=partner_id,
            name=operator.name,
            contact=operator.contact,
            overrides_allowed=allowed,
            answers=operator.endpoint is not None,
        )


def service(installations: Installations, directory: Directory, lookup_keys: LookupKeys) -> Service:
    """Return the service, to be served."""
    servicer = InstallationServicer(installations, directory, lookup_keys)
    return Service(
        NAME,
        installations_pb2_grpc.add_InstallationServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def _policies(policies: pb.Policies) -> Policies:
    """Read policies; raises PolicyMissingError."""
    for given, words in (
        (policies.on_block, RUNNING_SESSIONS),
        (policies.on_revoke, RUNNING_SESSIONS),
        (policies.on_operator_timeout, ON_OPERATOR_TIMEOUT),
        (policies.on_view_behind, ON_VIEW_BEHIND),
    ):
        if given not in words:
            raise PolicyMissingError
    return Policies(
        on_block=RUNNING_SESSIONS[policies.on_block],
        on_revoke=RUNNING_SESSIONS[policies.on_revoke],
        on_operator_timeout=ON_OPERATOR_TIMEOUT[policies.on_operator_timeout],
        offline_unknown_ids=policies.offline_unknown_ids,
        offline_pins=policies.offline_pins,
        master_pass=policies.master_pass,
        view_bound_minutes=policies.view_bound_minutes,
        on_view_behind=ON_VIEW_BEHIND[policies.on_view_behind],
        pin_length=policies.pin_length,
    )


def _as_seen(place: pb.Address) -> Address:
    return Address(
        address=place.address,
        postal_code=place.postal_code,
        city=place.city,
        country=place.country,
        latitude=place.latitude,
        longitude=place.longitude,
    )


def _place(place: Address | None) -> pb.Address | None:
    return None if place is None else pb.Address(**msgspec.structs.asdict(place))


def _told(policies: Policies) -> pb.Policies:
    return pb.Policies(
        on_block=RUNNING_SESSIONS_NUMBERS[policies.on_block],
        on_revoke=RUNNING_SESSIONS_NUMBERS[policies.on_revoke],
        on_operator_timeout=ON_OPERATOR_TIMEOUT_NUMBERS[policies.on_operator_timeout],
        offline_unknown_ids=policies.offline_unknown_ids,
        offline_pins=policies.offline_pins,
        master_pass=policies.master_pass,
        view_bound_minutes=policies.view_bound_minutes,
        on_view_behind=ON_VIEW_BEHIND_NUMBERS[policies.on_view_behind],
        pin_length=policies.pin_length,
    )
