"""The ACCESS stream: who may charge where."""

from __future__ import annotations

from typing import ClassVar, Literal

from chargekey_common.published.envelope import PublishedEvent

Override = Literal["INHERIT", "REQUIRED", "NOT_REQUIRED"]
IdentificationType = Literal["RFID", "PIN", "APP"]
Role = Literal["OWNER", "USER", "SERVICE", "OPERATOR"]


class _AboutInstallation(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("installation", "installation_id")

    installation_id: str


class InstallationCreated(_AboutInstallation, frozen=True, kw_only=True):
    """A site exists; `time_zone` is an IANA name."""

    name: str
    time_zone: str
    authorisation_required: bool


class AuthorisationRequiredSet(_AboutInstallation, frozen=True, kw_only=True):
    """Something must, or need no longer, be presented at inheriting chargers."""

    authorisation_required: bool


class OwnerAdded(_AboutInstallation, frozen=True, kw_only=True):
    """The user owns the installation."""

    user_id: str


class OwnerRemoved(_AboutInstallation, frozen=True, kw_only=True):
    """The user no longer owns the installation."""

    user_id: str


class PermissionGranted(_AboutInstallation, frozen=True, kw_only=True):
    """A user holds roles on an installation, or on one charger of it.

    `valid_until` is an exclusive end in nanoseconds since the epoch.
    """

    permission_id: str
    user_id: str
    roles: tuple[Role, ...]
    charger_id: str | None = None
    valid_until: int | None = None


class PermissionChanged(_AboutInstallation, frozen=True, kw_only=True):
    """A permission has other roles or another end; the fields are the new whole."""

    permission_id: str
    user_id: str
    roles: tuple[Role, ...]
    charger_id: str | None = None
    valid_until: int | None = None


class PermissionRevoked(_AboutInstallation, frozen=True, kw_only=True):
    """A permission is gone."""

    permission_id: str
    user_id: str
    charger_id: str | None = None


class _AboutCharger(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("charger", "charger_id")

    charger_id: str
    installation_id: str


class ChargerAdded(_AboutCharger, frozen=True, kw_only=True):
    """A charger is registered under its OCPP identity."""

    ocpp_identity: str
    authorisation_override: Override
    identification_types: tuple[IdentificationType, ...]


class AuthorisationOverrideSet(_AboutCharger, frozen=True, kw_only=True):
    """The charger deviates from its installation's setting, or no longer does."""

    authorisation_override: Override


class IdentificationTypesSet(_AboutCharger, frozen=True, kw_only=True):
    """The charger accepts exactly these types."""

    identification_types: tuple[IdentificationType, ...]


class ChargerCredential(PublishedEvent, frozen=True, kw_only=True):
    """Private: the keyed hash a charger's password is compared with.

    Travels on `access.v1.credential.<charger id>`, in the batch of the event it
    belongs to; only the gateway reads it.
    """

    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("credential", "charger_id")

    charger_id: str
    password_hash: str

    @property
    def subject(self) -> str:
        """The private subject; it has no event name, being no fact of its own."""
        return f"access.v1.credential.{self.charger_id}"


EVENTS = (
    InstallationCreated,
    AuthorisationRequiredSet,
    OwnerAdded,
    OwnerRemoved,
    PermissionGranted,
    PermissionChanged,
    PermissionRevoked,
    ChargerAdded,
    AuthorisationOverrideSet,
    IdentificationTypesSet,
)
