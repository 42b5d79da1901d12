"""A charger: registered under one OCPP identity, with settings of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from chargekey_access.domain.errors import (
    ChargerUnknownError,
    OcppIdentityInUseError,
    OcppIdentityMalformedError,
    ReaderPrefixMalformedError,
)
from chargekey_access.domain.events import (
    AuthorisationOverrideSet,
    ChargerAdded,
    ChargerEvent,
    ChargerMoved,
    ChargerPasswordReplaced,
    IdentificationType,
    IdentificationTypesSet,
    Override,
    ReaderQuirksSet,
)
from chargekey_access.domain.ids import derived
from chargekey_access.domain.installation import Installation
from chargekey_access.domain.replacing import replaces

# What OCPP 2.x allows an identity (identifierString[48]) without the colon, which
# HTTP basic authentication (RFC 7617 §2) keeps out of user names.
_IDENTITY_FORM = re.compile(r"[A-Za-z0-9*_=+|@.-]{1,48}")
# What a new charger accepts; vehicles, telephones and bank cards are switched on (S0-8).
FIRST_TYPES: tuple[IdentificationType, ...] = ("APP", "PIN", "RFID")
_PREFIX_FORM = re.compile(r"[ -~]{0,8}")


class ReaderQuirks(msgspec.Struct, frozen=True):
    """What the charger's reader does to card numbers before it sends them (R15)."""

    reversed: bool = False
    truncated: bool = False
    prefix: str = ""


class Charger(msgspec.Struct, frozen=True):
    """The charger as of its last event."""

    installation_id: str
    ocpp_identity: str
    password_hash: str
    authorisation_override: Override
    identification_types: tuple[IdentificationType, ...]
    reader_quirks: ReaderQuirks = ReaderQuirks()

    def authorisation_required(self, site: Installation) -> bool:
        """Whether something must be presented here (R1), of `site`, where the charger stands.

        Where an operator decides, nothing is open to anybody (R3).
        """
        if site.authentication_type == "EXTERNAL":
            return True
        if self.authorisation_override == "INHERIT" or not site.overrides_count:
            return site.authorisation_required
        return self.authorisation_override == "REQUIRED"

    def override_suspended(self, site: Installation) -> bool:
        """Whether the charger deviates and that does not count for now (R2)."""
        return self.authorisation_override != "INHERIT" and not site.overrides_count


def charger_id(ocpp_identity: str) -> str:
    """One charger per OCPP identity."""
    return derived("charger", ocpp_identity)


def evolve(state: Charger | None, event: ChargerEvent) -> Charger:
    """Return the charger after `event`."""
    match event:
        case ChargerAdded():
            return Charger(
                event.installation_id,
                event.ocpp_identity,
                event.password_hash,
                event.authorisation_override,
                event.identification_types,
            )
        case ChargerPasswordReplaced():
            return msgspec.structs.replace(existing(state), password_hash=event.password_hash)
        case AuthorisationOverrideSet():
            return msgspec.structs.replace(
                existing(state), authorisation_override=event.authorisation_override
            )
        case IdentificationTypesSet():
            return msgspec.structs.replace(
                existing(state), identification_types=event.identification_types
            )
        case ReaderQuirksSet():
            quirks = ReaderQuirks(event.reversed, event.truncated, event.prefix)
            return msgspec.structs.replace(existing(state), reader_quirks=quirks)
        case ChargerMoved():
            return msgspec.structs.replace(
                existing(state),
                installation_id=event.installation_id,
                authorisation_override="INHERIT",
            )
        case _:
            assert_never(event)


def existing(state: Charger | None) -> Charger:
    """Return the charger; raises ChargerUnknownError."""
    if state is None:
        raise ChargerUnknownError
    return state


def ocpp_identity(text: str) -> str:
    """Return the identity; raises OcppIdentityMalformedError."""
    if _IDENTITY_FORM.fullmatch(text) is None:
        raise OcppIdentityMalformedError
    return text


def add(
    state: Charger | None, *, installation_id: str, ocpp_identity: str, password_hash: str
) -> Sequence[ChargerEvent]:
    """Register a charger that accepts PINs, cards and the portal; OcppIdentityInUseError."""
    if state is not None:
        raise OcppIdentityInUseError
    return [
        ChargerAdded(
            installation_id=installation_id,
            ocpp_identity=ocpp_identity,
            password_hash=password_hash,
            authorisation_override="INHERIT",
            identification_types=FIRST_TYPES,
        )
    ]


def replace_password(state: Charger | None, password_hash: str) -> Sequence[ChargerEvent]:
    """Give the charger another password, in place of the one it has."""
    charger = existing(state)
    return [
        ChargerPasswordReplaced(
            installation_id=charger.installation_id, password_hash=password_hash
        )
    ]


def set_authorisation_override(
    state: Charger | None, override: Override, *, instead_of: Override | None = None
) -> Sequence[ChargerEvent]:
    """Deviate from the installation, or inherit again (R1); raises ChangedMeanwhileError."""
    charger = existing(state)
    if not replaces(charger.authorisation_override, override, instead_of):
        return []
    return [
        AuthorisationOverrideSet(
            installation_id=charger.installation_id, authorisation_override=override
        )
    ]


def set_identification_types(
    state: Charger | None,
    types: Iterable[IdentificationType],
    *,
    instead_of: Iterable[IdentificationType] | None = None,
) -> Sequence[ChargerEvent]:
    """Accept exactly `types` from now on, in one step (S0-9); raises ChangedMeanwhileError."""
    charger = existing(state)
    wanted = tuple(sorted(set(types)))
    seen = None if instead_of is None else tuple(sorted(set(instead_of)))
    if not replaces(charger.identification_types, wanted, seen):
        return []
    return [
        IdentificationTypesSet(installation_id=charger.installation_id, identification_types=wanted)
    ]


def set_reader_quirks(
    state: Charger | None, quirks: ReaderQuirks, *, instead_of: ReaderQuirks | None = None
) -> Sequence[ChargerEvent]:
    """Say how the charger's reader deviates (R15).

    Raises ReaderPrefixMalformedError or ChangedMeanwhileError.
    """
    charger = existing(state)
    if _PREFIX_FORM.fullmatch(quirks.prefix) is None:
        raise ReaderPrefixMalformedError
    if not replaces(charger.reader_quirks, quirks, instead_of):
        return []
    return [
        ReaderQuirksSet(
            installation_id=charger.installation_id,
            reversed=quirks.reversed,
            truncated=quirks.truncated,
            prefix=quirks.prefix,
        )
    ]


def move(state: Charger | None, installation_id: str) -> Sequence[ChargerEvent]:
    """Put the charger at another installation; its override stays behind (R11)."""
    charger = existing(state)
    if charger.installation_id == installation_id:
        return []
    return [
        ChargerMoved(from_installation_id=charger.installation_id, installation_id=installation_id)
    ]
