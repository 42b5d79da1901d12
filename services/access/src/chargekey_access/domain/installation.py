"""An installation: a site with a time zone and authentication settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from chargekey_access.domain.address import NOWHERE, Address
from chargekey_access.domain.errors import (
    ExternalNeedsOperatorError,
    InstallationUnknownError,
    OperatorConnectedAlreadyError,
    OperatorNotConnectedError,
    PinLengthMalformedError,
    ViewBoundMalformedError,
)
from chargekey_access.domain.events import (
    AuthenticationType,
    AuthenticationTypeSet,
    AuthorisationRequiredSet,
    InstallationAddressSet,
    InstallationCreated,
    InstallationEvent,
    InstallationRenamed,
    OnOperatorTimeout,
    OnViewBehind,
    OperatorConnected,
    OperatorDisconnected,
    OverridesAllowedSet,
    PoliciesSet,
    RunningSessions,
)
from chargekey_access.domain.replacing import replaces

SHORTEST_PIN = 4
LONGEST_PIN = 8
SHORTEST_VIEW_BOUND = 1
LONGEST_VIEW_BOUND = 7 * 24 * 60


class Policies(msgspec.Struct, frozen=True):
    """What follows from a block, a revocation, silence; `pin_length` is the fewest digits.

    Gateways that were not known to have heard everything for `view_bound_minutes` are behind,
    and do as `on_view_behind` says.
    """

    on_block: RunningSessions = "STOP"
    on_revoke: RunningSessions = "FINISH"
    on_operator_timeout: OnOperatorTimeout = "DENY"
    offline_unknown_ids: bool = False
    offline_pins: bool = False
    master_pass: bool = False
    view_bound_minutes: int = 1440
    on_view_behind: OnViewBehind = "DENY"
    pin_length: int = 4


class Installation(msgspec.Struct, frozen=True):
    """The site as of its last event; `managed_by` is a partner's id, or nobody (R3)."""

    name: str
    time_zone: str
    authorisation_required: bool
    authentication_type: AuthenticationType = "NATIVE"
    policies: Policies = Policies()
    managed_by: str | None = None
    overrides_allowed: bool = True
    address: Address | None = None

    @property
    def overrides_count(self) -> bool:
        """Whether chargers may deviate: always, unless an operator does not allow it (R2)."""
        return self.managed_by is None or self.overrides_allowed


def evolve(state: Installation | None, event: InstallationEvent) -> Installation:
    """Return the installation after `event`."""
    match event:
        case InstallationCreated():
            return Installation(event.name, event.time_zone, event.authorisation_required)
        case AuthorisationRequiredSet():
            return msgspec.structs.replace(
                existing(state), authorisation_required=event.authorisation_required
            )
        case InstallationRenamed():
            return msgspec.structs.replace(existing(state), name=event.name)
        case InstallationAddressSet():
            address = Address(**msgspec.structs.asdict(event))
            return msgspec.structs.replace(existing(state), address=address)
        case AuthenticationTypeSet():
            return msgspec.structs.replace(
                existing(state), authentication_type=event.authentication_type
            )
        case PoliciesSet():
            policies = Policies(**msgspec.structs.asdict(event))
            return msgspec.structs.replace(existing(state), policies=policies)
        case OperatorConnected():
            return msgspec.structs.replace(
                existing(state),
                managed_by=event.partner_id,
                overrides_allowed=event.overrides_allowed,
            )
        case OverridesAllowedSet():
            return msgspec.structs.replace(
                existing(state), overrides_allowed=event.overrides_allowed
            )
        case OperatorDisconnected():
            return msgspec.structs.replace(existing(state), managed_by=None, overrides_allowed=True)
        case _:
            assert_never(event)


def existing(state: Installation | None) -> Installation:
    """Return the installation; raises InstallationUnknownError."""
    if state is None:
        raise InstallationUnknownError
    return state


def create(*, name: str, time_zone: str) -> Sequence[InstallationEvent]:
    """Create a site. It starts restricted: opening it is the owner's explicit decision."""
    return [InstallationCreated(name=name, time_zone=time_zone, authorisation_required=True)]


def set_authorisation_required(
    state: Installation | None, *, required: bool
) -> Sequence[InstallationEvent]:
    """Switch between open and restricted, any number of times (R1)."""
    if existing(state).authorisation_required == required:
        return []
    return [AuthorisationRequiredSet(authorisation_required=required)]


def rename(
    state: Installation | None, name: str, *, instead_of: str | None = None
) -> Sequence[InstallationEvent]:
    """Give the site another name; raises ChangedMeanwhileError."""
    if not replaces(existing(state).name, name, instead_of):
        return []
    return [InstallationRenamed(name=name)]


def set_address(
    state: Installation | None, address: Address, *, instead_of: Address | None = None
) -> Sequence[InstallationEvent]:
    """Say where the site is, the first time instead of NOWHERE; raises ChangedMeanwhileError."""
    if not replaces(existing(state).address or NOWHERE, address, instead_of):
        return []
    return [InstallationAddressSet(**msgspec.structs.asdict(address))]


def set_authentication_type(
    state: Installation | None, authentication_type: AuthenticationType
) -> Sequence[InstallationEvent]:
    """Say who decides; raises ExternalNeedsOperatorError where no operator could (R3)."""
    site = existing(state)
    if authentication_type == "EXTERNAL" and site.managed_by is None:
        raise ExternalNeedsOperatorError
    if site.authentication_type == authentication_type:
        return []
    return [AuthenticationTypeSet(authentication_type=authentication_type)]


def set_policies(
    state: Installation | None, policies: Policies, *, instead_of: Policies | None = None
) -> Sequence[InstallationEvent]:
    """Replace all policies in one step.

    Raises PinLengthMalformedError, ViewBoundMalformedError or ChangedMeanwhileError.
    """
    if not SHORTEST_PIN <= policies.pin_length <= LONGEST_PIN:
        raise PinLengthMalformedError
    if not SHORTEST_VIEW_BOUND <= policies.view_bound_minutes <= LONGEST_VIEW_BOUND:
        raise ViewBoundMalformedError
    if not replaces(existing(state).policies, policies, instead_of):
        return []
    return [PoliciesSet(**msgspec.structs.asdict(policies))]


def connect_operator(
    state: Installation | None,
    *,
    partner_id: str,
    authentication_type: AuthenticationType,
    overrides_allowed: bool,
) -> Sequence[InstallationEvent]:
    """Let an operator manage the site (R2, R3); raises OperatorConnectedAlreadyError."""
    site = existing(state)
    if site.managed_by is not None:
        raise OperatorConnectedAlreadyError
    connected = OperatorConnected(partner_id=partner_id, overrides_allowed=overrides_allowed)
    if site.authentication_type == authentication_type:
        return [connected]
    return [connected, AuthenticationTypeSet(authentication_type=authentication_type)]


def disconnect_operator(state: Installation | None) -> Sequence[InstallationEvent]:
    """Let nobody manage the site, which is NATIVE and restricted then (R9).

    Closes before it opens: whoever reads the events one by one never meets an open
    site nor suspended overrides that count again while the operator still decides.
    Raises OperatorNotConnectedError.
    """
    site = existing(state)
    if site.managed_by is None:
        raise OperatorNotConnectedError
    return [
        *set_authorisation_required(site, required=True),
        *set_authentication_type(site, "NATIVE"),
        OperatorDisconnected(partner_id=site.managed_by),
    ]


def set_overrides_allowed(
    state: Installation | None, *, allowed: bool
) -> Sequence[InstallationEvent]:
    """Let chargers of a managed site deviate, or not (R2); raises OperatorNotConnectedError."""
    site = existing(state)
    if site.managed_by is None:
        raise OperatorNotConnectedError
    if site.overrides_allowed == allowed:
        return []
    return [OverridesAllowedSet(overrides_allowed=allowed)]
