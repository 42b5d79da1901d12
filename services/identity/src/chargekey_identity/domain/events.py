"""What can happen in identity. Stored as `identity.<class name>`: names are for ever."""

from __future__ import annotations

from typing import ClassVar, Literal

from chargekey_common.eventstore.records import DomainEvent

IdentificationType = Literal["RFID", "PIN"]
IdentificationStatus = Literal["ACTIVE", "INACTIVE", "BLOCKED"]


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


class UserRenamed(_Discreet, frozen=True, kw_only=True):
    """The user has another name; the fields are the new whole."""

    personal: ClassVar[tuple[str, ...]] = ("first_name", "last_name")

    first_name: str
    last_name: str


class UserBlocked(DomainEvent, frozen=True, kw_only=True):
    """A LOCAL user is refused at his installation with every identification (R12)."""

    installation_id: str


class UserUnblocked(DomainEvent, frozen=True, kw_only=True):
    """The block is lifted."""

    installation_id: str


class IdentificationAdded(_Discreet, frozen=True, kw_only=True):
    """A user can present something; a PIN at one installation only (R13).

    `code` is canonical, `keyed_id` hex, `valid_until` exclusive, in nanoseconds
    since the epoch.
    """

    personal: ClassVar[tuple[str, ...]] = ("code", "keyed_id")

    user_id: str
    type: IdentificationType
    installation_id: str | None
    status: IdentificationStatus
    valid_until: int | None
    code: str
    keyed_id: str


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

    personal: ClassVar[tuple[str, ...]] = ("code", "keyed_id")

    user_id: str
    code: str
    keyed_id: str


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


UserEvent = LocalUserAdded | UserRenamed | UserBlocked | UserUnblocked
IdentificationEvent = (
    IdentificationAdded
    | IdentificationStatusChanged
    | IdentificationExpiryChanged
    | IdentificationCodeChanged
    | IdentificationRemoved
    | CodeRevealed
)
ReservationEvent = CodeReserved | CodeReleased

EVENTS: tuple[type[DomainEvent], ...] = (
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
