"""What every page below an installation, or a charger, has: the thing itself, and what may be done.

Both ask access at every look, which says what is not there or not for the visitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from fastapi import Depends
from grpc import aio

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey_portal.refusals import DENIED, RefusedError, is_away
from chargekey_portal.visitors import SignedIn, Visitor

# Entries of a list on a page.
PAGE_SIZE = 50

# What the pages of an installation offer to whom may.
_ACTIONS = (
    "access.ListChargers",
    "access.AddCharger",
    "access.GrantPermission",
    "access.ListPermissions",
    "access.ListBlockedUsers",
    "access.BlockUserAtInstallation",
    "access.OfferOwnership",
    "access.ApproveAccessRequest",
    "access.ListAccessRequests",
    "access.RenameInstallation",
    "history.ExportReport",
    "access.DisconnectOperator",
    "access.SetOverridesAllowed",
    "access.SetPolicies",
    "access.SetAuthenticationType",
    "access.SetInstallationAddress",
    "access.SetAuthorisationRequired",
    "access.SetAuthorisationOverride",
    "access.SetIdentificationTypes",
    "access.MoveCharger",
    "access.ReplaceChargerPassword",
    "access.SetReaderQuirks",
    "audit.ListChanges",
    "identity.ListUsers",
    "identity.AddLocalUser",
    "identity.SearchPeople",
    "identity.ListUnknownCodes",
    "identity.AddFromUnknownCode",
    "identity.ExportPeople",
    "identity.ImportPeople",
    "identity.ListInvitations",
    "identity.DescribeIdentifications",
    "identity.ResendInvitation",
    "history.ListSessions",
    "history.ListRefusals",
    "history.GetReport",
    "gateway.ListConvergence",
    "gateway.ResetCharger",
    "gateway.SendAction",
    "gateway.PreviewChange",
    "gateway.Authorize",
    "gateway.ListRunningSessions",
    "gateway.StopSession",
    "gateway.GetChargerSettings",
    "gateway.ChangeChargerSetting",
)
# Of these a charger has none of its own: they are asked about the installation it stands at.
_OF_THE_SITE = tuple(
    each
    for each in _ACTIONS
    if each.startswith(("history.", "identity."))
    or each
    in (
        "access.ListChargers",
        "access.ListBlockedUsers",
        "access.BlockUserAtInstallation",
        "access.OfferOwnership",
        "gateway.PreviewChange",
    )
)
_OF_A_CHARGER = tuple(each for each in _ACTIONS if each not in _OF_THE_SITE)


class Site(msgspec.Struct, frozen=True):
    """An installation, and what its visitor may do there."""

    installation: installations_pb2.Installation
    may: frozenset[str]

    @property
    def path(self) -> str:
        """The address of its pages."""
        return f"/installations/{self.installation.id}"

    @property
    def zone(self) -> ZoneInfo:
        """Where its clock is."""
        return ZoneInfo(self.installation.time_zone)

    def require(self, *actions: str) -> None:
        """Return where he may do any of these; raises RefusedError."""
        _require(self.may, actions)


class Spot(msgspec.Struct, frozen=True):
    """A charger, its installation, and what its visitor may do there.

    Without a `state` where the gateway cannot be reached.
    """

    charger: chargers_pb2.Charger
    installation: installations_pb2.Installation
    state: gateway_pb2.ChargerState | None
    may: frozenset[str]

    @property
    def path(self) -> str:
        """The address of its pages."""
        return f"/chargers/{self.charger.id}"

    def require(self, *actions: str) -> None:
        """Return where he may do any of these; raises RefusedError."""
        _require(self.may, actions)


def _require(may: frozenset[str], actions: Collection[str]) -> None:
    if may.isdisjoint(actions):
        raise RefusedError(DENIED)


async def site(installation_id: str, visitor: SignedIn) -> Site:
    """Return the installation that the address names.

    Raises RefusedError where he holds nothing at the whole of it, and may know of it all the same.
    """
    found, may = await asyncio.gather(
        _installation(visitor, installation_id),
        visitor.may(f"installation:{installation_id}", *_ACTIONS),
    )
    if not found.HasField("policies"):
        raise RefusedError(DENIED)
    return Site(found, may)


async def spot(charger_id: str, visitor: SignedIn) -> Spot:
    """Return the charger that the address names."""
    asked = chargers_pb2.GetChargerRequest(charger_id=charger_id)
    charger = (await visitor.services.chargers.GetCharger(asked)).charger
    site_id = charger.installation_id
    installation, found, at_charger, at_site = await asyncio.gather(
        _installation(visitor, site_id),
        states(visitor, gateway_pb2.ListChargerStatesRequest(charger_id=charger_id), [charger_id]),
        visitor.may(f"charger:{charger_id}", *_OF_A_CHARGER),
        visitor.may(f"installation:{site_id}", *_OF_THE_SITE),
    )
    return Spot(charger, installation, found.get(charger_id), at_charger | at_site)


async def states(
    visitor: Visitor, asked: gateway_pb2.ListChargerStatesRequest, charger_ids: Sequence[str]
) -> Mapping[str, gateway_pb2.ChargerState]:
    """Return how these chargers are; nothing where the gateway cannot be reached."""
    try:
        answer = await visitor.services.gateway.ListChargerStates(asked)
    except aio.AioRpcError as error:
        if not is_away(error):
            raise
        return {}
    # Of those that it leaves out nobody has told: they were never there.
    offline = {key: gateway_pb2.ChargerState(charger_id=key) for key in charger_ids}
    return offline | {each.charger_id: each for each in answer.chargers}


async def _installation(visitor: Visitor, installation_id: str) -> installations_pb2.Installation:
    asked = installations_pb2.GetInstallationRequest(installation_id=installation_id)
    return (await visitor.services.installations.GetInstallation(asked)).installation


AtSite = Annotated[Site, Depends(site)]
AtCharger = Annotated[Spot, Depends(spot)]
