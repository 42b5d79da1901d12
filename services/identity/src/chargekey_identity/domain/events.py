"""What can happen in identity. Stored as `identity.<class name>`: names are for ever."""

from __future__ import annotations

from typing import ClassVar, Literal

from chargekey_common.eventstore.records import DomainEvent

IdentificationType = Literal["RFID", "PIN", "APP", "VEHICLE_ID", "SMS", "CREDIT_CARD"]
IdentificationStatus = Literal["ACTIVE", "INACTIVE", "BLOCKED"]
Role = Literal["OWNER", "USER", "SERVICE", "OPERATOR"]


class _Discreet(DomainEvent, frozen=True, kw_only=True):
    """An event whose repr, which may end up in a log, leaves the personal fields out."""

    def __repr__(self) -> str:
        shown = [name for name in self.__struct_fields__ if name not in self.personal]
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__name__}({fields})"


class LocalUserAdded(_Discreet, frozen=True, kw_only=True):
    """A user of one installation who cannot sign in."""

    personal: ClassVar[tuple[str, ...]] = ("first_name", "last_name")

    installation_id: str
    first_name: str
    last_name: str
    blocked: bool


class PendingUserAdded(_Discreet, frozen=True, kw_only=True):
    """Somebody is known by an address that nobody has verified yet (R7)."""

    personal: ClassVar[tuple[str, ...]] = ("email",)

    email: str


class EmailVerified(DomainEvent, frozen=True, kw_only=True):
    """The address is the person's: he can sign in, and what he was given counts."""


class OpenIdLinked(_Discreet, frozen=True, kw_only=True):
    """The person signs in by this account of an OpenID Connect provider, too."""

    personal: ClassVar[tuple[str, ...]] = ("subject",)

    issuer: str
    subject: str


class AccessProposed(DomainEvent, frozen=True, kw_only=True):
    """Whoever imported the user gives him these roles there; access grants them.

    `valid_until` is exclusive, in nanoseconds since the epoch. `local` tells that the user
    is a LOCAL one of this installation.
    """

    installation_id: str
    roles: tuple[Role, ...]
    valid_until: int | None
    local: bool


class ProfileChanged(DomainEvent, frozen=True, kw_only=True):
    """How the person wants to be written to; the fields are the new whole."""

    time_zone: str
    language: str


class SignInLinkRequested(DomainEvent, frozen=True, kw_only=True):
    """Somebody who knows the address wants a link mailed there."""


class SignedIn(DomainEvent, frozen=True, kw_only=True):
    """The person signed in, by a mailed link, an invitation or a provider."""

    by: Literal["LINK", "INVITATION", "OPENID"]


class SignedInAs(DomainEvent, frozen=True, kw_only=True):
    """The record's actor, an administrator, was given an access token of the user."""


class ActedAsAdministrator(DomainEvent, frozen=True, kw_only=True):
    """The user was given an access token as an administrator; what he does by it says so."""


class UserExported(DomainEvent, frozen=True, kw_only=True):
    """The record's actor was given everything about the user, codes included."""


class UserErased(DomainEvent, frozen=True, kw_only=True):
    """Nothing personal of the user can be read any more (R20)."""


class UserRenamed(_Discreet, frozen=True, kw_only=True):
    """The user has another name; the fields are the new whole."""

    personal: ClassVar[tuple[str, ...]] = ("first_name", "last_name")

    first_name: str
    last_name: str


class UserBlocked(DomainEvent, frozen=True, kw_only=True):
    """The user is refused with every identification (R12).

    A LOCAL one at his installation; without an installation, on the whole platform.
    """

    installation_id: str | None


class UserUnblocked(DomainEvent, frozen=True, kw_only=True):
    """The block with the same scope is lifted."""

    installation_id: str | None


class IdentificationAdded(_Discreet, frozen=True, kw_only=True):
    """A user can present something; with an installation, at that one only (R13).

    `code` is canonical, `keyed_id` hex, `valid_until` exclusive, in nanoseconds
    since the epoch. `alias` is the keyed id of what a truncating reader makes of a
    longer card number (R15), empty where there is none. `group_id` is shared by the
    identifications that may stop each other's sessions; with a `group_card` several may
    charge at once.
    """

    personal: ClassVar[tuple[str, ...]] = ("code", "keyed_id", "alias", "group")

    user_id: str
    type: IdentificationType
    installation_id: str | None
    status: IdentificationStatus
    valid_until: int | None
    code: str
    keyed_id: str
    alias: str = ""
    group: str = ""
    group_id: str | None = None
    group_card: bool = False


class IdentificationStatusChanged(DomainEvent, frozen=True, kw_only=True):
    """Only ACTIVE authorises."""

    user_id: str
    status: IdentificationStatus


class IdentificationExpiryChanged(DomainEvent, frozen=True, kw_only=True):
    """The identification ends at another time, or at none (R18)."""

    user_id: str
    valid_until: int | None


class IdentificationCodeChanged(_Discreet, frozen=True, kw_only=True):
    """Another code takes the place of the old one, which stops working."""

    personal: ClassVar[tuple[str, ...]] = ("code", "keyed_id", "alias")

    user_id: str
    code: str
    keyed_id: str
    alias: str = ""


class IdentificationGroupChanged(_Discreet, frozen=True, kw_only=True):
    """The identification is in another group, or in none; the fields are the new whole."""

    personal: ClassVar[tuple[str, ...]] = ("group",)

    user_id: str
    group: str
    group_id: str | None
    group_card: bool


class IdentificationRemoved(DomainEvent, frozen=True, kw_only=True):
    """The identification is gone for good."""

    user_id: str


class CodeRevealed(DomainEvent, frozen=True, kw_only=True):
    """The record's actor was shown the code (R17)."""

    user_id: str


class CodeReserved(DomainEvent, frozen=True, kw_only=True):
    """A code belongs to this identification and to no other."""

    user_id: str
    identification_id: str


class CodeReleased(DomainEvent, frozen=True, kw_only=True):
    """The code that belonged to this identification is free."""

    user_id: str
    identification_id: str


class EmailReserved(DomainEvent, frozen=True, kw_only=True):
    """An address, or an account of a provider, belongs to this user and to no other."""

    user_id: str


class EmailReleased(DomainEvent, frozen=True, kw_only=True):
    """The address, or account, that belonged to this user is nobody's."""

    user_id: str


class InvitationCreated(DomainEvent, frozen=True, kw_only=True):
    """Something was given to an address: its person is to be told, and to sign up (R7).

    A permission on an installation or a charger, a place in a partner, or, with neither,
    an installation's ownership. `expires_at` is exclusive, in nanoseconds since the epoch.
    """

    user_id: str
    installation_id: str | None
    charger_id: str | None
    permission_id: str | None
    partner_id: str | None
    expires_at: int
    # The user who gave it; None for who is no person, and before this was noted.
    invited_by: str | None = None


class InvitationRenewed(DomainEvent, frozen=True, kw_only=True):
    """A new link goes out, and the old one is void."""

    user_id: str
    expires_at: int


class InvitationAccepted(DomainEvent, frozen=True, kw_only=True):
    """The person followed the link, or signed in."""

    user_id: str


class InvitationRevoked(DomainEvent, frozen=True, kw_only=True):
    """It was taken back, with what it was for: as in InvitationCreated; or its user is erased."""

    user_id: str
    installation_id: str | None = None
    permission_id: str | None = None
    partner_id: str | None = None


class PartnerCredentialIssued(DomainEvent, frozen=True, kw_only=True):
    """A partner's programs can call; of the secret only a keyed hash is kept."""

    partner_id: str
    label: str
    secret_hash: str


class PartnerCredentialRevoked(DomainEvent, frozen=True, kw_only=True):
    """This secret is good for nothing any more."""

    partner_id: str


class LocalListCodesRevealed(DomainEvent, frozen=True, kw_only=True):
    """The gateway was told so many codes, for the list that a charger keeps itself (R17)."""

    charger_id: str
    codes: int


UserEvent = (
    LocalUserAdded
    | PendingUserAdded
    | EmailVerified
    | OpenIdLinked
    | AccessProposed
    | ProfileChanged
    | SignInLinkRequested
    | SignedIn
    | SignedInAs
    | ActedAsAdministrator
    | UserExported
    | UserErased
    | UserRenamed
    | UserBlocked
    | UserUnblocked
)
IdentificationEvent = (
    IdentificationAdded
    | IdentificationStatusChanged
    | IdentificationExpiryChanged
    | IdentificationCodeChanged
    | IdentificationGroupChanged
    | IdentificationRemoved
    | CodeRevealed
)
ReservationEvent = CodeReserved | CodeReleased
EmailEvent = EmailReserved | EmailReleased
InvitationEvent = InvitationCreated | InvitationRenewed | InvitationAccepted | InvitationRevoked
CredentialEvent = PartnerCredentialIssued | PartnerCredentialRevoked

EVENTS: tuple[type[DomainEvent], ...] = (
    LocalUserAdded,
    PendingUserAdded,
    EmailVerified,
    OpenIdLinked,
    AccessProposed,
    ProfileChanged,
    SignInLinkRequested,
    SignedIn,
    SignedInAs,
    ActedAsAdministrator,
    UserExported,
    UserErased,
    UserRenamed,
    UserBlocked,
    UserUnblocked,
    IdentificationAdded,
    IdentificationStatusChanged,
    IdentificationExpiryChanged,
    IdentificationCodeChanged,
    IdentificationGroupChanged,
    IdentificationRemoved,
    CodeRevealed,
    CodeReserved,
    CodeReleased,
    EmailReserved,
    EmailReleased,
    InvitationCreated,
    InvitationRenewed,
    InvitationAccepted,
    InvitationRevoked,
    PartnerCredentialIssued,
    PartnerCredentialRevoked,
    LocalListCodesRevealed,
)
