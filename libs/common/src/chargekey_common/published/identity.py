"""The IDENTITY stream: who people are to the system, by opaque ids alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from chargekey_common.published.envelope import PublishedEvent

IdentificationType = Literal["RFID", "PIN"]
IdentificationStatus = Literal["ACTIVE", "INACTIVE", "BLOCKED"]


class _AboutUser(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "identity"
    about: ClassVar[tuple[str, str]] = ("user", "user_id")

    user_id: str


class LocalUserAdded(_AboutUser, frozen=True, kw_only=True):
    """A user of one installation exists; nothing but an id is told about him."""

    installation_id: str
    blocked: bool = False


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
    """A user can present something; PINs name the installation they work at.

    `valid_until` is an exclusive end in nanoseconds since the epoch.
    """

    type: IdentificationType
    status: IdentificationStatus
    installation_id: str | None = None
    valid_until: int | None = None


class IdentificationStatusChanged(_AboutIdentification, frozen=True, kw_only=True):
    """Only ACTIVE authorises."""

    status: IdentificationStatus


class IdentificationExpiryChanged(_AboutIdentification, frozen=True, kw_only=True):
    """The identification ends at another time, or at none."""

    valid_until: int | None = None


class IdentificationCodeChanged(_AboutIdentification, frozen=True, kw_only=True):
    """The old code stops working; the new keyed id came just before this."""


class IdentificationRemoved(_AboutIdentification, frozen=True, kw_only=True):
    """The identification is gone and its code free again."""


class CodeRevealed(_AboutIdentification, frozen=True, kw_only=True):
    """Somebody (`ce-actor`) was shown the code."""


class CodeReserved(_AboutIdentification, frozen=True, kw_only=True):
    """A code belongs to this identification and to no other."""


class CodeReleased(_AboutIdentification, frozen=True, kw_only=True):
    """The code that belonged to this identification is free."""


class IdentificationKey(PublishedEvent, frozen=True, kw_only=True):
    """Private: the keyed id (32 hex digits) an identification is found by.

    Travels on `identity.v1.key.<identification id>`, in the batch of the event it
    belongs to and before it; only the gateway reads it. Securely deleted from the
    stream when the code changes, the identification is removed or its user erased.
    """

    stream: ClassVar[str] = "identity"
    about: ClassVar[tuple[str, str]] = ("key", "identification_id")

    identification_id: str
    keyed_id: str

    @property
    def subject(self) -> str:
        """The private subject; it has no event name, being no fact of its own."""
        return f"identity.v1.key.{self.identification_id}"


EVENTS = (
    LocalUserAdded,
    UserRenamed,
    UserBlocked,
    UserUnblocked,
    IdentificationAdded,
    IdentificationStatusChanged,
    IdentificationExpiryChanged,
    IdentificationCodeChanged,
    IdentificationRemoved,
    CodeRevealed,
    CodeReserved,
    CodeReleased,
)
