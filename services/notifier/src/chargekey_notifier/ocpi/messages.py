"""What OCPI 2.2.1 sends, as far as more than one module has it: types, credentials, pages."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec

VERSION = "2.2.1"
LONGEST_PAGE = 100
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
# Whole microseconds that tables and contracts have room for in nanoseconds: 1677 to 2262.
_FARTHEST = (2**63 - 1) // 1000

# §16.1: case-insensitive, printable, ASCII.
CiString2 = Annotated[str, msgspec.Meta(min_length=2, max_length=2, pattern=r"^[!-~]+\Z")]
CiString3 = Annotated[str, msgspec.Meta(min_length=1, max_length=3, pattern=r"^[!-~]+\Z")]
CiString36 = Annotated[str, msgspec.Meta(min_length=1, max_length=36, pattern=r"^[ -~]+\Z")]
Url = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^https?://[!-~]+\Z")]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[!-~]+\Z")]
Role = Literal["CPO", "EMSP", "HUB", "NAP", "NSP", "OTHER", "SCSP"]
InterfaceRole = Literal["SENDER", "RECEIVER"]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something of the standard: what we do not know in it is left aside."""


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """As whom we speak."""

    country_code: CiString2
    party_id: CiString3
    name: str


class Version(Message, frozen=True, kw_only=True):
    """A version that is spoken, and where it is told what is answered in it (§6.1)."""

    version: str
    url: Url


class Module(Message, frozen=True, kw_only=True):
    """Where a module is answered; of credentials, which are symmetric, the role says nothing."""

    identifier: str
    role: InterfaceRole
    url: Url


class VersionDetails(Message, frozen=True, kw_only=True):
    """What is answered in a version (§6.2)."""

    version: str
    endpoints: tuple[Module, ...]


class BusinessDetails(Message, frozen=True, kw_only=True):
    """What a party is called."""

    name: Annotated[str, msgspec.Meta(max_length=100)]


class CredentialsRole(Message, frozen=True, kw_only=True):
    """A part that a party plays, and as whom (§7.4.1)."""

    role: Role
    business_details: BusinessDetails
    party_id: CiString3
    country_code: CiString2

    def is_called(self, country_code: str, party_id: str) -> bool:
        """Whether this is it: both names are case-insensitive."""
        mine = self.country_code.lower(), self.party_id.lower()
        return mine == (country_code.lower(), party_id.lower())


class Credentials(Message, frozen=True, kw_only=True):
    """What the other side is called with, and where it says what it answers (§7.3.1)."""

    token: Secret
    url: Url
    roles: Annotated[tuple[CredentialsRole, ...], msgspec.Meta(min_length=1)]

    def __repr__(self) -> str:
        """Show nothing of the token."""
        return "Credentials"


class LocationReferences(Message, frozen=True, kw_only=True):
    """Which charge points of which site (§12.4.3): our chargers of our installation."""

    location_id: CiString36
    evse_uids: tuple[CiString36, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted (§4.1.4): times in nanoseconds, `date_to` exclusive."""

    offset: int = 0
    limit: int = LONGEST_PAGE
    date_from: int | None = None
    date_to: int | None = None


def told(at: int) -> str:
    """Return a moment, in nanoseconds since the epoch, as OCPI tells it: RFC 3339, in UTC."""
    moment = _EPOCH + dt.timedelta(microseconds=at // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def nanoseconds(moment: dt.datetime) -> int:
    """Return a moment that was told, in nanoseconds since the epoch; without a zone it is UTC.

    Where that is more than 64 bits hold, as for the year 9999, it is the farthest they do.
    """
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    microseconds = (aware - _EPOCH) // _MICROSECOND
    return max(-_FARTHEST, min(microseconds, _FARTHEST)) * 1000


def is_url(text: str) -> bool:
    """Whether it can be one of OCPI's."""
    return _is(text, Url)


def is_token(text: str) -> bool:
    """Whether it can be a credentials token, not encoded."""
    return _is(text, Secret)


def _is(text: str, kind: object) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True
