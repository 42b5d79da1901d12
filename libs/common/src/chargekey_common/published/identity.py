"""The IDENTITY stream: who people are to the system, by opaque ids alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from chargekey_common.published.envelope import PublishedEvent

IdentificationType = Literal["RFID", "PIN", "APP", "VEHICLE_ID", "SMS", "CREDIT_CARD"]
IdentificationStatus = Literal["ACTIVE", "INACTIVE", "BLOCKED"]
Role = Literal["OWNER", "USER", "SERVICE", "OPERATOR"]


class _AboutUser(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "identity"
    about: ClassVar[tuple[str, str]] = ("user", "user_id")

    user_id: str


class LocalUserAdded(_AboutUser, frozen=True, kw_only=True):
    """A user of one installation exists; nothing but an id is told about him."""

    installation_id: str
    blocked: bool = False


class PendingUserAdded(_AboutUser, frozen=True, kw_only=True):
    """Somebody is known by an address nobody has verified: what he is given counts for nothing."""


class EmailVerified(_AboutUser, frozen=True, kw_only=True):
    """The address is the person's; what he was given counts."""


class OpenIdLinked(_AboutUser, frozen=True, kw_only=True):
    """The person signs in by an account of this OpenID Connect provider, too."""

    issuer: str


class AccessProposed(_AboutUser, frozen=True, kw_only=True):
    """Whoever imported the user gives him these roles there; access grants them.

    `valid_until` is an exclusive end in nanoseconds since the epoch. `local` tells that
    the user is a LOCAL one of this installation.
    """

    installation_id: str
    roles: tuple[Role, ...]
    valid_until: int | None = None
    local: bool = False


class ProfileChanged(_AboutUser, frozen=True, kw_only=True):
    """How the person wants to be written to; the fields are the new whole."""

    time_zone: str
    language: str


class SignInLinkRequested(_AboutUser, frozen=True, kw_only=True):
    """Somebody who knows the address wants a link mailed there."""


class SignedIn(_AboutUser, frozen=True, kw_only=True):
    """The person signed in, by a mailed link, an invitation or a provider."""

    by: Literal["LINK", "INVITATION", "OPENID"]


class SignedInAs(_AboutUser, frozen=True, kw_only=True):
    """An administrator (`ce-actor`) was given an access token of the user."""


class ActedAsAdministrator(_AboutUser, frozen=True, kw_only=True):
    """The person was given an access token as `administrator:<user id>`, for some minutes."""


class UserExported(_AboutUser, frozen=True, kw_only=True):
    """Somebody (`ce-actor`) was given everything about the user, codes included."""


class UserErased(_AboutUser, frozen=True, kw_only=True):
    """Nothing personal of the user can be read any more."""


class UserRenamed(_AboutUser, frozen=True, kw_only=True):
    """The user's name changed; ask identity for it."""


class UserBlocked(_AboutUser, frozen=True, kw_only=True):
    """The user is refused with every identification.

    `installation_id` is the scope of a LOCAL user's block; without one the block
    holds on the whole platform.
    """

    installation_id: str | None = None


class UserUnblocked(_AboutUser, frozen=True, kw_only=True):
    """The block with the same scope is lifted."""

    installation_id: str | None = None


class _AboutIdentification(_AboutUser, frozen=True, kw_only=True):
    identification_id: str


class IdentificationAdded(_AboutIdentification, frozen=True, kw_only=True):
    """A user can present something; at one installation only, where one is named.

    `valid_until` is an exclusive end in nanoseconds since the epoch. Identifications of
    one `group_id` may stop each other's sessions; with a `group_card` several may charge
    at once.
    """

    type: IdentificationType
    status: IdentificationStatus
    installation_id: str | None = None
    valid_until: int | None = None
    group_id: str | None = None
    group_card: bool = False


class IdentificationStatusChanged(_AboutIdentification, frozen=True, kw_only=True):
    """Only ACTIVE authorises."""

    status: IdentificationStatus


class IdentificationExpiryChanged(_AboutIdentification, frozen=True, kw_only=True):
    """The identification ends at another time, or at none."""

    valid_until: int | None = None


class IdentificationCodeChanged(_AboutIdentification, frozen=True, kw_only=True):
    """The old code stops working; the new keyed id came just before this."""


class IdentificationGroupChanged(_AboutIdentification, frozen=True, kw_only=True):
    """The identification is in another group, or in none; the fields are the new whole."""

    group_id: str | None = None
    group_card: bool = False


class IdentificationRemoved(_AboutIdentification, frozen=True, kw_only=True):
    """The identification is gone and its code free again."""


class CodeRevealed(_AboutIdentification, frozen=True, kw_only=True):
    """Somebody (`ce-actor`) was shown the code."""


class CodeReserved(_AboutIdentification, frozen=True, kw_only=True):
    """A code belongs to this identification and to no other."""


class CodeReleased(_AboutIdentification, frozen=True, kw_only=True):
    """The code that belonged to this identification is free."""


class EmailReserved(_AboutUser, frozen=True, kw_only=True):
    """An address, or an account of a provider, belongs to this user and to no other."""


class EmailReleased(_AboutUser, frozen=True, kw_only=True):
    """The address, or account, that belonged to this user is nobody's."""


class _AboutInvitation(_AboutUser, frozen=True, kw_only=True):
    invitation_id: str


class InvitationCreated(_AboutInvitation, frozen=True, kw_only=True):
    """Something was given to an address: its person is to be told, and to sign up.

    A permission on an installation or a charger, a place in a partner, or, with neither,
    an installation's ownership. `expires_at` is an exclusive end in nanoseconds since the
    epoch. `invited_by` is the user who gave it, where a person did.
    """

    installation_id: str | None = None
    charger_id: str | None = None
    permission_id: str | None = None
    partner_id: str | None = None
    expires_at: int
    invited_by: str | None = None


class InvitationRenewed(_AboutInvitation, frozen=True, kw_only=True):
    """A new link goes out, and the old one is void."""

    expires_at: int


class InvitationAccepted(_AboutInvitation, frozen=True, kw_only=True):
    """The person followed the link, or signed in."""


class InvitationRevoked(_AboutInvitation, frozen=True, kw_only=True):
    """It was taken back, with what it was for; or that was, or its user is erased."""

    installation_id: str | None = None
    permission_id: str | None = None
    partner_id: str | None = None


class _AboutPartner(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "identity"
    about: ClassVar[tuple[str, str]] = ("partner", "partner_id")

    partner_id: str
    credential_id: str


class PartnerCredentialIssued(_AboutPartner, frozen=True, kw_only=True):
    """A partner's programs can call."""


class PartnerCredentialRevoked(_AboutPartner, frozen=True, kw_only=True):
    """That secret is good for nothing any more."""


class IdentificationKey(PublishedEvent, frozen=True, kw_only=True):
    """Private: the keyed id (32 hex digits) an identification is found by.

    Travels on `identity.v1.key.<identification id>`, in the batch of the event it
    belongs to and before it; only the gateway reads it. Securely deleted from the
    stream when the code changes, the identification is removed or its user erased.
    `alias` is the keyed id of what a truncating reader makes of a longer card number;
    several identifications may share one, and then it names none of them.
    """

    stream: ClassVar[str] = "identity"
    about: ClassVar[tuple[str, str]] = ("key", "identification_id")

    identification_id: str
    keyed_id: str
    alias: str = ""

    @property
    def subject(self) -> str:
        """The private subject; it has no event name, being no fact of its own."""
        return f"identity.v1.key.{self.identification_id}"


class LocalListCodesRevealed(PublishedEvent, frozen=True, kw_only=True):
    """The gateway was told so many codes in plain, for the list that a charger keeps itself."""

    stream: ClassVar[str] = "identity"
    about: ClassVar[tuple[str, str]] = ("charger", "charger_id")

    charger_id: str
    codes: int


EVENTS = (
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
