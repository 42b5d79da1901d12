"""What can happen in access. Stored as `access.<class name>`: names are for ever."""

from __future__ import annotations

from typing import Literal

import msgspec

from chargekey_common.eventstore.records import DomainEvent

Override = Literal["INHERIT", "REQUIRED", "NOT_REQUIRED"]
IdentificationType = Literal["RFID", "PIN", "APP", "VEHICLE_ID", "SMS", "CREDIT_CARD"]
Role = Literal["OWNER", "USER", "SERVICE", "OPERATOR"]
AuthenticationType = Literal["NATIVE", "EXTERNAL"]
PartnerKind = Literal["SERVICE_PARTNER", "PAYMENT_OPERATOR"]
DecisionEndpointKind = Literal["OCPI", "OCPI_PLAIN", "WEBHOOK"]
RunningSessions = Literal["STOP", "FINISH"]
OnOperatorTimeout = Literal["DENY", "LAST_KNOWN"]
OnViewBehind = Literal["DENY", "LAST_KNOWN"]


class InstallationCreated(DomainEvent, frozen=True, kw_only=True):
    """A site exists."""

    name: str
    time_zone: str
    authorisation_required: bool


class InstallationRenamed(DomainEvent, frozen=True, kw_only=True):
    """The site has another name."""

    name: str


class InstallationAddressSet(DomainEvent, frozen=True, kw_only=True):
    """Where the site is; the fields are the new whole.

    `country` is ISO 3166-1 alpha-3; latitude and longitude are decimal degrees with six
    places, as text.
    """

    address: str
    postal_code: str
    city: str
    country: str
    latitude: str
    longitude: str


class AuthorisationRequiredSet(DomainEvent, frozen=True, kw_only=True):
    """Inheriting chargers ask, or no longer ask, for something to be presented (R1)."""

    authorisation_required: bool


class AuthenticationTypeSet(DomainEvent, frozen=True, kw_only=True):
    """Who decides: the permissions, or the connected operator (R3)."""

    authentication_type: AuthenticationType


class PoliciesSet(DomainEvent, frozen=True, kw_only=True):
    """What follows from a block, a revocation, silence; the fields are the new whole.

    `pin_length` is the fewest digits of a new PIN. Gateways that were not known to have heard
    everything for `view_bound_minutes` are behind; `on_view_behind` says what then counts.
    """

    on_block: RunningSessions
    on_revoke: RunningSessions
    on_operator_timeout: OnOperatorTimeout
    offline_unknown_ids: bool
    offline_pins: bool
    master_pass: bool = False
    view_bound_minutes: int = 1440
    on_view_behind: OnViewBehind = "DENY"
    pin_length: int


class OperatorConnected(DomainEvent, frozen=True, kw_only=True):
    """A payment operator manages the site; overrides count only where it allows them (R2, R3)."""

    partner_id: str
    overrides_allowed: bool


class OverridesAllowedSet(DomainEvent, frozen=True, kw_only=True):
    """The operator lets chargers deviate from the site, or no longer does (R2)."""

    overrides_allowed: bool


class OperatorDisconnected(DomainEvent, frozen=True, kw_only=True):
    """The operator manages the site no longer; suspended overrides count again (R9)."""

    partner_id: str


class OwnerAdded(DomainEvent, frozen=True, kw_only=True):
    """One more user owns the installation.

    `invited` where nobody knows yet whether there is such a person: he was made an owner by
    his address, or is known by nothing else, and has yet to accept (R6).
    """

    installation_id: str
    user_id: str
    invited: bool = False


class OwnerAccepted(DomainEvent, frozen=True, kw_only=True):
    """An owner who was invited has accepted: the others may go and leave him (R6)."""

    installation_id: str
    user_id: str


class OwnerRemoved(DomainEvent, frozen=True, kw_only=True):
    """One user owns the installation no longer."""

    installation_id: str
    user_id: str


class UserBlockedAtInstallation(DomainEvent, frozen=True, kw_only=True):
    """A user is refused at every charger of the installation, whatever he holds (R12)."""

    installation_id: str
    user_id: str


class UserUnblockedAtInstallation(DomainEvent, frozen=True, kw_only=True):
    """That block is lifted."""

    installation_id: str
    user_id: str


class OwnershipOffered(DomainEvent, frozen=True, kw_only=True):
    """An owner's place, to a user who has yet to accept it; a later offer replaces this (R6)."""

    installation_id: str
    from_user_id: str
    to_user_id: str
    invited: bool = False


class OwnershipOfferWithdrawn(DomainEvent, frozen=True, kw_only=True):
    """By either side, or because one of the two is gone."""

    installation_id: str
    from_user_id: str
    to_user_id: str


class OwnershipTransferred(DomainEvent, frozen=True, kw_only=True):
    """The offer was accepted: the one owns the installation in the other's place."""

    installation_id: str
    from_user_id: str
    to_user_id: str


class ChargerAdded(DomainEvent, frozen=True, kw_only=True):
    """A charger is registered; of its password only a keyed hash is kept."""

    installation_id: str
    ocpp_identity: str
    password_hash: str
    authorisation_override: Override
    identification_types: tuple[IdentificationType, ...]


class ChargerPasswordReplaced(DomainEvent, frozen=True, kw_only=True):
    """The charger has another password, and the one before is none any more."""

    installation_id: str
    password_hash: str


class AuthorisationOverrideSet(DomainEvent, frozen=True, kw_only=True):
    """The charger deviates from its installation, or inherits again (R1)."""

    installation_id: str
    authorisation_override: Override


class IdentificationTypesSet(DomainEvent, frozen=True, kw_only=True):
    """The charger accepts exactly these types (S0-8, R19)."""

    installation_id: str
    identification_types: tuple[IdentificationType, ...]


class ReaderQuirksSet(DomainEvent, frozen=True, kw_only=True):
    """How the charger's reader deviates (R15); the fields are the new whole."""

    installation_id: str
    reversed: bool
    truncated: bool
    prefix: str


class ChargerMoved(DomainEvent, frozen=True, kw_only=True):
    """The charger stands at another installation, with no override (R11).

    Revocations of the permissions on it come just before, in the same save.
    """

    from_installation_id: str
    installation_id: str


class PermissionGranted(DomainEvent, frozen=True, kw_only=True):
    """A user, or a partner, holds roles on an installation, or on one charger of it (R4).

    One of `user_id` and `partner_id` is set. `local` tells that the user is a LOCAL one
    of this installation, `invited` that it was given to an address (R7).
    """

    installation_id: str
    charger_id: str | None
    user_id: str | None = None
    partner_id: str | None = None
    roles: tuple[Role, ...]
    valid_until: int | None
    local: bool
    invited: bool = False


class PermissionChanged(DomainEvent, frozen=True, kw_only=True):
    """Other roles or another end; the fields are the new whole."""

    installation_id: str
    charger_id: str | None
    user_id: str | None = None
    partner_id: str | None = None
    roles: tuple[Role, ...]
    valid_until: int | None


class PermissionRevoked(DomainEvent, frozen=True, kw_only=True):
    """The permission is gone; one on the other target stays (R4)."""

    installation_id: str
    charger_id: str | None
    user_id: str | None = None
    partner_id: str | None = None


class PartnerCreated(DomainEvent, frozen=True, kw_only=True):
    """An organisation exists; `contact` is shown wherever it manages a site (R8)."""

    name: str
    kind: PartnerKind
    lookup_key: str
    contact: str
    logo_url: str


class PartnerChanged(DomainEvent, frozen=True, kw_only=True):
    """It presents itself in another way; the fields are the new whole."""

    name: str
    contact: str
    logo_url: str


class LookupKeyRotated(DomainEvent, frozen=True, kw_only=True):
    """It is found by another key."""

    lookup_key: str


class PartnerMemberAdded(DomainEvent, frozen=True, kw_only=True):
    """The user holds what the partner holds; who is one already may manage it, or no longer."""

    user_id: str
    manages: bool
    invited: bool = False


class PartnerMemberRemoved(DomainEvent, frozen=True, kw_only=True):
    """The user holds what the partner holds no longer."""

    user_id: str


class OcpiParties(msgspec.Struct, frozen=True):
    """Whom OCPI's routing headers name as sender and as receiver."""

    from_country_code: str
    from_party_id: str
    to_country_code: str
    to_party_id: str


class DecisionEndpointSet(DomainEvent, frozen=True, kw_only=True):
    """It answers there who may charge at its EXTERNAL sites, in place of where it did before.

    What it is called with stands beside the events, sealed, under `secret_id`.
    """

    kind: DecisionEndpointKind
    url: str
    secret_id: str
    parties: OcpiParties | None = None


class DecisionEndpointRemoved(DomainEvent, frozen=True, kw_only=True):
    """It answers nowhere: its EXTERNAL sites fall back on their policy."""


class LookupKeyTaken(DomainEvent, frozen=True, kw_only=True):
    """A lookup key finds this partner and no other."""

    partner_id: str


class LookupKeyFreed(DomainEvent, frozen=True, kw_only=True):
    """A lookup key finds nobody."""

    partner_id: str


class AccessRequested(DomainEvent, frozen=True, kw_only=True):
    """A user or a partner asks for roles, at one installation or wherever an owner approves.

    `expires_at` is exclusive, in nanoseconds since the epoch.
    """

    user_id: str | None
    partner_id: str | None
    installation_id: str | None
    roles: tuple[Role, ...]
    expires_at: int


class AccessRequestApproved(DomainEvent, frozen=True, kw_only=True):
    """An owner granted it, there."""

    installation_id: str
    permission_id: str


class AccessRequestDenied(DomainEvent, frozen=True, kw_only=True):
    """An owner refused it."""

    installation_id: str


class AccessRequestWithdrawn(DomainEvent, frozen=True, kw_only=True):
    """Whoever asked no longer does."""


class UserForgotten(DomainEvent, frozen=True, kw_only=True):
    """The user is given nothing any more; what he held was taken away in the same save (R20)."""

    user_id: str


class UserArrived(DomainEvent, frozen=True, kw_only=True):
    """Somebody who was invited has accepted for the first time: he is a person (R6)."""

    user_id: str


InstallationEvent = (
    InstallationCreated
    | InstallationRenamed
    | InstallationAddressSet
    | AuthorisationRequiredSet
    | AuthenticationTypeSet
    | PoliciesSet
    | OperatorConnected
    | OverridesAllowedSet
    | OperatorDisconnected
)
OwnersEvent = (
    OwnerAdded
    | OwnerAccepted
    | OwnerRemoved
    | UserBlockedAtInstallation
    | UserUnblockedAtInstallation
    | OwnershipOffered
    | OwnershipOfferWithdrawn
    | OwnershipTransferred
)
ChargerEvent = (
    ChargerAdded
    | ChargerPasswordReplaced
    | AuthorisationOverrideSet
    | IdentificationTypesSet
    | ReaderQuirksSet
    | ChargerMoved
)
PermissionEvent = PermissionGranted | PermissionChanged | PermissionRevoked
PartnerEvent = (
    PartnerCreated
    | PartnerChanged
    | LookupKeyRotated
    | PartnerMemberAdded
    | PartnerMemberRemoved
    | DecisionEndpointSet
    | DecisionEndpointRemoved
)
LookupKeyEvent = LookupKeyTaken | LookupKeyFreed
AccessRequestEvent = (
    AccessRequested | AccessRequestApproved | AccessRequestDenied | AccessRequestWithdrawn
)

EVENTS: tuple[type[DomainEvent], ...] = (
    InstallationCreated,
    InstallationRenamed,
    InstallationAddressSet,
    AuthorisationRequiredSet,
    AuthenticationTypeSet,
    PoliciesSet,
    OperatorConnected,
    OverridesAllowedSet,
    OperatorDisconnected,
    OwnerAdded,
    OwnerAccepted,
    OwnerRemoved,
    UserBlockedAtInstallation,
    UserUnblockedAtInstallation,
    OwnershipOffered,
    OwnershipOfferWithdrawn,
    OwnershipTransferred,
    ChargerAdded,
    ChargerPasswordReplaced,
    AuthorisationOverrideSet,
    IdentificationTypesSet,
    ReaderQuirksSet,
    ChargerMoved,
    PermissionGranted,
    PermissionChanged,
    PermissionRevoked,
    PartnerCreated,
    PartnerChanged,
    LookupKeyRotated,
    PartnerMemberAdded,
    PartnerMemberRemoved,
    DecisionEndpointSet,
    DecisionEndpointRemoved,
    LookupKeyTaken,
    LookupKeyFreed,
    AccessRequested,
    AccessRequestApproved,
    AccessRequestDenied,
    AccessRequestWithdrawn,
    UserForgotten,
    UserArrived,
)
