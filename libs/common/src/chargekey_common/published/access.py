"""The ACCESS stream: who may charge where."""

from __future__ import annotations

from typing import ClassVar, Literal

from chargekey_common.published.envelope import PublishedEvent

Override = Literal["INHERIT", "REQUIRED", "NOT_REQUIRED"]
IdentificationType = Literal["RFID", "PIN", "APP", "VEHICLE_ID", "SMS", "CREDIT_CARD"]
Role = Literal["OWNER", "USER", "SERVICE", "OPERATOR"]
AuthenticationType = Literal["NATIVE", "EXTERNAL"]
PartnerKind = Literal["SERVICE_PARTNER", "PAYMENT_OPERATOR"]
RunningSessions = Literal["STOP", "FINISH"]
OnOperatorTimeout = Literal["DENY", "LAST_KNOWN"]
OnViewBehind = Literal["DENY", "LAST_KNOWN"]


class _AboutInstallation(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("installation", "installation_id")

    installation_id: str


class InstallationCreated(_AboutInstallation, frozen=True, kw_only=True):
    """A site exists; `time_zone` is an IANA name."""

    name: str
    time_zone: str
    authorisation_required: bool


class InstallationRenamed(_AboutInstallation, frozen=True, kw_only=True):
    """The site has another name."""

    name: str


class InstallationAddressSet(_AboutInstallation, frozen=True, kw_only=True):
    """The site is somewhere else, or was given its first address; ask access where."""


class AuthorisationRequiredSet(_AboutInstallation, frozen=True, kw_only=True):
    """Something must, or need no longer, be presented at inheriting chargers."""

    authorisation_required: bool


class AuthenticationTypeSet(_AboutInstallation, frozen=True, kw_only=True):
    """Who decides: the permissions, or the connected operator."""

    authentication_type: AuthenticationType


class PoliciesSet(_AboutInstallation, frozen=True, kw_only=True):
    """What follows from a block, a revocation, silence; the fields are the new whole.

    `pin_length` is the fewest digits of a new PIN. A view that was not heard to be complete for
    `view_bound_minutes` is behind, and `on_view_behind` says whether it counts all the same.
    """

    on_block: RunningSessions
    on_revoke: RunningSessions
    on_operator_timeout: OnOperatorTimeout
    offline_unknown_ids: bool = False
    offline_pins: bool = False
    master_pass: bool = False
    view_bound_minutes: int = 1440
    on_view_behind: OnViewBehind = "DENY"
    pin_length: int


class OperatorConnected(_AboutInstallation, frozen=True, kw_only=True):
    """A payment operator manages the site; overrides count only where it allows them."""

    partner_id: str
    overrides_allowed: bool = False


class OverridesAllowedSet(_AboutInstallation, frozen=True, kw_only=True):
    """The operator lets chargers deviate from the site, or no longer does."""

    overrides_allowed: bool = False


class OperatorDisconnected(_AboutInstallation, frozen=True, kw_only=True):
    """The operator manages the site no longer; suspended overrides count again."""

    partner_id: str


class OwnerAdded(_AboutInstallation, frozen=True, kw_only=True):
    """The user owns the installation; one who was `invited` has yet to accept."""

    user_id: str
    invited: bool = False


class OwnerAccepted(_AboutInstallation, frozen=True, kw_only=True):
    """The owner who was invited has accepted: the others may go and leave him."""

    user_id: str


class OwnerRemoved(_AboutInstallation, frozen=True, kw_only=True):
    """The user no longer owns the installation."""

    user_id: str


class UserBlockedAtInstallation(_AboutInstallation, frozen=True, kw_only=True):
    """The user is refused at every charger of the installation, whatever he holds."""

    user_id: str


class UserUnblockedAtInstallation(_AboutInstallation, frozen=True, kw_only=True):
    """That block is lifted."""

    user_id: str


class OwnershipOffered(_AboutInstallation, frozen=True, kw_only=True):
    """An owner's place, to a user who has yet to accept it; a later offer replaces this."""

    from_user_id: str
    to_user_id: str
    invited: bool = False


class OwnershipOfferWithdrawn(_AboutInstallation, frozen=True, kw_only=True):
    """By either side, or because one of the two is gone."""

    from_user_id: str
    to_user_id: str


class OwnershipTransferred(_AboutInstallation, frozen=True, kw_only=True):
    """The offer was accepted: the one owns the installation in the other's place."""

    from_user_id: str
    to_user_id: str


class PermissionGranted(_AboutInstallation, frozen=True, kw_only=True):
    """A user, or a partner for its members, holds roles on an installation or one charger.

    One of `user_id` and `partner_id` is set; `invited` where it was given to an address.
    `valid_until` is an exclusive end in nanoseconds since the epoch.
    """

    permission_id: str
    user_id: str | None = None
    partner_id: str | None = None
    roles: tuple[Role, ...]
    charger_id: str | None = None
    valid_until: int | None = None
    invited: bool = False


class PermissionChanged(_AboutInstallation, frozen=True, kw_only=True):
    """A permission has other roles or another end; the fields are the new whole."""

    permission_id: str
    user_id: str | None = None
    partner_id: str | None = None
    roles: tuple[Role, ...]
    charger_id: str | None = None
    valid_until: int | None = None


class PermissionRevoked(_AboutInstallation, frozen=True, kw_only=True):
    """A permission is gone."""

    permission_id: str
    user_id: str | None = None
    partner_id: str | None = None
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


class ChargerPasswordReplaced(_AboutCharger, frozen=True, kw_only=True):
    """The charger has another password, and the one before is none any more."""


class AuthorisationOverrideSet(_AboutCharger, frozen=True, kw_only=True):
    """The charger deviates from its installation's setting, or no longer does."""

    authorisation_override: Override


class IdentificationTypesSet(_AboutCharger, frozen=True, kw_only=True):
    """The charger accepts exactly these types."""

    identification_types: tuple[IdentificationType, ...]


class ReaderQuirksSet(_AboutCharger, frozen=True, kw_only=True):
    """How the charger's reader deviates; the fields are the new whole."""

    reversed: bool = False
    truncated: bool = False
    prefix: str = ""


class ChargerMoved(_AboutCharger, frozen=True, kw_only=True):
    """The charger stands at another installation, with no override and no permissions on it."""

    from_installation_id: str


class _AboutPartner(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("partner", "partner_id")

    partner_id: str


class PartnerCreated(_AboutPartner, frozen=True, kw_only=True):
    """An organisation exists; `contact` is how people reach it."""

    name: str
    kind: PartnerKind
    contact: str = ""
    logo_url: str = ""


class PartnerChanged(_AboutPartner, frozen=True, kw_only=True):
    """It presents itself in another way; the fields are the new whole."""

    name: str
    contact: str = ""
    logo_url: str = ""


class LookupKeyRotated(_AboutPartner, frozen=True, kw_only=True):
    """It is found by another lookup key."""


class PartnerMemberAdded(_AboutPartner, frozen=True, kw_only=True):
    """The user holds what the partner holds; one who is a member may manage it, or no longer."""

    user_id: str
    manages: bool = False
    invited: bool = False


class PartnerMemberRemoved(_AboutPartner, frozen=True, kw_only=True):
    """The user holds what the partner holds no longer."""

    user_id: str


class DecisionEndpointSet(_AboutPartner, frozen=True, kw_only=True):
    """It answers there who may charge at its EXTERNAL sites, in place of where it did before.

    Also told again where only what it is called with has changed.
    """

    kind: Literal["OCPI", "OCPI_PLAIN", "WEBHOOK"]
    url: str


class DecisionEndpointRemoved(_AboutPartner, frozen=True, kw_only=True):
    """It answers nowhere: its EXTERNAL sites fall back on their policy."""


class LookupKeyTaken(_AboutPartner, frozen=True, kw_only=True):
    """A lookup key finds this partner and no other."""


class LookupKeyFreed(_AboutPartner, frozen=True, kw_only=True):
    """A lookup key finds nobody."""


class _AboutAccessRequest(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("access_request", "access_request_id")

    access_request_id: str


class AccessRequested(_AboutAccessRequest, frozen=True, kw_only=True):
    """A user or a partner asks for roles, at one installation or wherever an owner approves.

    `expires_at` is exclusive, in nanoseconds since the epoch.
    """

    user_id: str | None = None
    partner_id: str | None = None
    installation_id: str | None = None
    roles: tuple[Role, ...]
    expires_at: int


class AccessRequestApproved(_AboutAccessRequest, frozen=True, kw_only=True):
    """An owner granted it, there."""

    installation_id: str
    permission_id: str


class AccessRequestDenied(_AboutAccessRequest, frozen=True, kw_only=True):
    """An owner refused it."""

    installation_id: str


class AccessRequestWithdrawn(_AboutAccessRequest, frozen=True, kw_only=True):
    """Whoever asked no longer does."""


class UserForgotten(PublishedEvent, frozen=True, kw_only=True):
    """The user is given nothing any more; what he held was taken away just before."""

    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("user", "user_id")

    user_id: str


class UserArrived(PublishedEvent, frozen=True, kw_only=True):
    """The user, known by his address until then, has accepted an invitation."""

    stream: ClassVar[str] = "access"
    about: ClassVar[tuple[str, str]] = ("user", "user_id")

    user_id: str


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
    PermissionGranted,
    PermissionChanged,
    PermissionRevoked,
    ChargerAdded,
    ChargerPasswordReplaced,
    AuthorisationOverrideSet,
    IdentificationTypesSet,
    ReaderQuirksSet,
    ChargerMoved,
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
