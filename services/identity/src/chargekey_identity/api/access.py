"""What identity asks of access, under its own service account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import msgspec
import structlog
from grpc import aio

from chargekey.access.v1 import (
    chargers_pb2,
    chargers_pb2_grpc,
    check_pb2,
    check_pb2_grpc,
    installations_pb2,
    installations_pb2_grpc,
    partners_pb2,
    partners_pb2_grpc,
    permissions_pb2,
    permissions_pb2_grpc,
)
from chargekey_common import pages
from chargekey_common.accounts import Caller
from chargekey_common.grpc.client import AWAY, remote_error, unavailable
from chargekey_common.positions import Position
from chargekey_identity.domain.errors import (
    ChargerUnknownError,
    InstallationUnknownError,
    LastOwnerError,
    PartnerUnknownError,
)
from chargekey_identity.domain.events import Role

ON_LOCAL_USER_ADDED = "access-on-local-user-added"
ON_ACCESS_PROPOSED = "access-on-access-proposed"

_ROLES: Mapping[int, Role] = {
    permissions_pb2.ROLE_OWNER: "OWNER",
    permissions_pb2.ROLE_USER: "USER",
    permissions_pb2.ROLE_SERVICE: "SERVICE",
    permissions_pb2.ROLE_OPERATOR: "OPERATOR",
}

log = structlog.get_logger()


class Site(msgspec.Struct, frozen=True):
    """What identity has to know of an installation: its zone, and how long its PINs are."""

    time_zone: str
    pin_length: int


class Holding(msgspec.Struct, frozen=True):
    """What somebody holds; `valid_until` is exclusive, in nanoseconds since the epoch."""

    roles: tuple[Role, ...]
    valid_until: int | None


class Access:
    """Access's answers, in this service's words."""

    def __init__(self, channel: aio.Channel) -> None:
        self._check = check_pb2_grpc.CheckServiceStub(channel)
        self._chargers = chargers_pb2_grpc.ChargerServiceStub(channel)
        self._installations = installations_pb2_grpc.InstallationServiceStub(channel)
        self._permissions = permissions_pb2_grpc.PermissionServiceStub(channel)
        self._partners = partners_pb2_grpc.PartnerServiceStub(channel)

    async def time_zone(self, installation_id: str) -> str:
        """Return an installation's zone; raises InstallationUnknownError or UnavailableError."""
        return (await self._installation(installation_id)).time_zone

    async def name_of_installation(self, installation_id: str) -> str:
        """Return what an installation is called; raises as `time_zone` does."""
        return (await self._installation(installation_id)).name

    async def site(self, installation_id: str) -> Site:
        """Return an installation's zone and length of PINs; raises as `time_zone` does."""
        found = await self._installation(installation_id)
        return Site(found.time_zone, found.policies.pin_length)

    async def installation_of(self, charger_id: str) -> str:
        """Return where a charger stands; raises ChargerUnknownError or UnavailableError."""
        return (await self._charger(charger_id)).installation_id

    async def ocpp_identity(self, charger_id: str) -> str:
        """Return the name that a charger connects under; raises as `installation_of` does."""
        return (await self._charger(charger_id)).ocpp_identity

    async def _charger(self, charger_id: str) -> chargers_pb2.Charger:
        request = chargers_pb2.GetChargerRequest(charger_id=charger_id)
        try:
            answer = await self._chargers.GetCharger(request)
        except aio.AioRpcError as error:
            match error.code():
                # An empty id is no question at all.
                case grpc.StatusCode.NOT_FOUND | grpc.StatusCode.INVALID_ARGUMENT:
                    raise ChargerUnknownError from None
                case code if code in AWAY:
                    raise unavailable(error) from None
                case _:
                    raise
        return answer.charger

    async def open_chargers(self, installation_id: str) -> int:
        """Return at how many chargers there anybody may charge; raises as `time_zone` does."""
        return (await self._installation(installation_id)).open_chargers

    async def require_partner(self, partner_id: str) -> None:
        """Raise PartnerUnknownError where there is no such partner, or UnavailableError."""
        await self.name_of_partner(partner_id)

    async def name_of_partner(self, partner_id: str) -> str:
        """Return what a partner is called; raises as `require_partner` does."""
        request = partners_pb2.GetPartnerRequest(partner_id=partner_id)
        try:
            answer = await self._partners.GetPartner(request)
        except aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.NOT_FOUND:
                    raise PartnerUnknownError from None
                case code if code in AWAY:
                    raise unavailable(error) from None
                case _:
                    raise
        return answer.partner.name

    async def permission_stands(self, permission_id: str) -> bool:
        """Return whether a permission is held still; raises UnavailableError."""
        return await self._permission(permission_id) is not None

    async def roles(self, permission_id: str) -> Sequence[Role]:
        """Return what a permission gives, nothing once it is held no longer.

        Raises UnavailableError.
        """
        found = await self._permission(permission_id)
        return () if found is None else tuple(_ROLES[number] for number in found.roles)

    async def _permission(self, permission_id: str) -> permissions_pb2.Permission | None:
        request = permissions_pb2.GetPermissionRequest(permission_id=permission_id)
        try:
            answer = await self._permissions.GetPermission(request)
        except aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.NOT_FOUND:
                    return None
                case code if code in AWAY:
                    raise unavailable(error) from None
                case _:
                    raise
        return answer.permission

    async def forget(self, user_id: str) -> None:
        """Have all that a user holds taken away, for ever; raises LastOwnerError.

        Raises UnavailableError, too; then it may have been, and is to be asked for again.
        """
        # Under a new id each time: once more takes away what was given meanwhile.
        request = permissions_pb2.ForgetUserRequest(user_id=user_id)
        try:
            await self._permissions.ForgetUser(request)
        except aio.AioRpcError as error:
            if remote_error(error).code == LastOwnerError.code:
                raise LastOwnerError from None
            if error.code() in AWAY:
                raise unavailable(error) from None
            raise

    async def people(self, installation_id: str) -> Mapping[str, Holding]:
        """Return who holds what on the whole installation, partners left out, by user id.

        Raises UnavailableError.
        """
        found: dict[str, Holding] = {}
        request = permissions_pb2.ListPermissionsRequest(
            installation_id=installation_id, page_size=pages.LARGEST
        )
        while True:
            try:
                answer = await self._permissions.ListPermissions(request)
            except aio.AioRpcError as error:
                if error.code() in AWAY:
                    raise unavailable(error) from None
                raise
            for each in answer.permissions:
                if each.user_id:
                    end = each.valid_until if each.HasField("valid_until") else None
                    roles = tuple(_ROLES[number] for number in each.roles)
                    found[each.user_id] = Holding(roles, end)
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def is_host(self, caller: Caller, installation_id: str) -> bool:
        """Return whether a caller owns or operates a site, and may know of everybody's there."""
        return await self.may(caller, "identity.ListUsers", f"installation:{installation_id}")

    async def may(self, caller: Caller, action: str, obj: str) -> bool:
        """Return whether a caller may do something else than what he asks for."""
        request = check_pb2.CheckRequest(caller=caller, action=action, object=obj)
        try:
            answer = await self._check.Check(request)
        except aio.AioRpcError as error:
            if error.code() in AWAY:
                raise unavailable(error) from None
            raise
        return answer.allowed

    async def _installation(self, installation_id: str) -> installations_pb2.Installation:
        request = installations_pb2.GetInstallationRequest(installation_id=installation_id)
        try:
            answer = await self._installations.GetInstallation(request)
        except aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.NOT_FOUND:
                    raise InstallationUnknownError from None
                case code if code in AWAY:
                    raise unavailable(error) from None
                case _:
                    raise
        return answer.installation

    async def permission_position(
        self, added: Position, *, within: float, reaction: str = ON_LOCAL_USER_ADDED
    ) -> str:
        """Return the position that includes a new user's permission; empty after `within` seconds.

        It is given by `reaction` to the event at exactly the position `added`.

        Never raises for access's sake: the user exists, and his permission will follow.
        """
        if within <= 0:
            return ""
        request = check_pb2.AwaitReactionRequest(reaction=reaction, position=str(added))
        try:
            answer = await self._check.AwaitReaction(request, timeout=within)
        except aio.AioRpcError as error:
            log.info("permission_pending", error=error.code().name)
            return ""
        return answer.position
