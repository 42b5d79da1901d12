"""What can happen in access. Stored as `access.<class name>`: names are for ever."""

from __future__ import annotations

from typing import Literal

from chargekey_common.eventstore.records import DomainEvent

Override = Literal["INHERIT", "REQUIRED", "NOT_REQUIRED"]
IdentificationType = Literal["RFID", "PIN", "APP"]
Role = Literal["OWNER", "USER", "SERVICE", "OPERATOR"]


class InstallationCreated(DomainEvent, frozen=True, kw_only=True):
    """A site exists."""

    name: str
    time_zone: str
    authorisation_required: bool


class AuthorisationRequiredSet(DomainEvent, frozen=True, kw_only=True):
    """Inheriting chargers ask, or no longer ask, for something to be presented (R1)."""

    authorisation_required: bool


class OwnerAdded(DomainEvent, frozen=True, kw_only=True):
    """One more user owns the installation."""

    installation_id: str
    user_id: str


class OwnerRemoved(DomainEvent, frozen=True, kw_only=True):
    """One user owns the installation no longer."""

    installation_id: str
    user_id: str


class ChargerAdded(DomainEvent, frozen=True, kw_only=True):
    """A charger is registered; of its password only a keyed hash is kept."""

    installation_id: str
    ocpp_identity: str
    password_hash: str
    authorisation_override: Override
    identification_types: tuple[IdentificationType, ...]


class AuthorisationOverrideSet(DomainEvent, frozen=True, kw_only=True):
    """The charger deviates from its installation, or inherits again (R1)."""

    installation_id: str
    authorisation_override: Override


class IdentificationTypesSet(DomainEvent, frozen=True, kw_only=True):
    """The charger accepts exactly these types (S0-8, R19)."""

    installation_id: str
    identification_types: tuple[IdentificationType, ...]


class PermissionGranted(DomainEvent, frozen=True, kw_only=True):
    """A user holds roles on an installation, or on one charger of it (R4).

    `local` tells that the user is a LOCAL one of this installation.
    """

    installation_id: str
    charger_id: str | None
    user_id: str
    roles: tuple[Role, ...]
    valid_until: int | None
    local: bool


class PermissionChanged(DomainEvent, frozen=True, kw_only=True):
    """Other roles or another end; the fields are the new whole."""

    installation_id: str
    charger_id: str | None
    user_id: str
    roles: tuple[Role, ...]
    valid_until: int | None


class PermissionRevoked(DomainEvent, frozen=True, kw_only=True):
    """The permission is gone; one on the other target stays (R4)."""

    installation_id: str
    charger_id: str | None
    user_id: str


InstallationEvent = InstallationCreated | AuthorisationRequiredSet
OwnersEvent = OwnerAdded | OwnerRemoved
ChargerEvent = ChargerAdded | AuthorisationOverrideSet | IdentificationTypesSet
PermissionEvent = PermissionGranted | PermissionChanged | PermissionRevoked

EVENTS: tuple[type[DomainEvent], ...] = (
    InstallationCreated,
    AuthorisationRequiredSet,
    OwnerAdded,
    OwnerRemoved,
    ChargerAdded,
    AuthorisationOverrideSet,
    IdentificationTypesSet,
    PermissionGranted,
    PermissionChanged,
    PermissionRevoked,
)
