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
)
from chargekey_access.domain.events import (
    AuthorisationOverrideSet,
    ChargerAdded,
    ChargerEvent,
    IdentificationType,
    IdentificationTypesSet,
    Override,
)

# What OCPP 2.x allows an identity (identifierString[48]) without the colon, which
# HTTP basic authentication (RFC 7617 §2) keeps out of user names.
_IDENTITY_FORM = re.compile(r"[A-Za-z0-9*_=+|@.-]{1,48}")
ALL_TYPES: tuple[IdentificationType, ...] = ("APP", "PIN", "RFID")


class Charger(msgspec.Struct, frozen=True):
    """The charger as of its last event."""

    installation_id: str
    ocpp_identity: str
    authorisation_override: Override
    identification_types: tuple[IdentificationType, ...]

    def authorisation_required(self, *, by_installation: bool) -> bool:
        """Whether something must be presented here (R1)."""
        if self.authorisation_override == "INHERIT":
            return by_installation
        return self.authorisation_override == "REQUIRED"


def evolve(state: Charger | None, event: ChargerEvent) -> Charger:
    """Return the charger after `event`."""
    match event:
        case ChargerAdded():
            return Charger(
                event.installation_id,
                event.ocpp_identity,
                event.authorisation_override,
                event.identification_types,
            )
        case AuthorisationOverrideSet():
            return msgspec.structs.replace(
                existing(state), authorisation_override=event.authorisation_override
            )
        case IdentificationTypesSet():
            return msgspec.structs.replace(
                existing(state), identification_types=event.identification_types
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
    """Register a charger with every identification type enabled; OcppIdentityInUseError."""
    if state is not None:
        raise OcppIdentityInUseError
    return [
        ChargerAdded(
            installation_id=installation_id,
            ocpp_identity=ocpp_identity,
            password_hash=password_hash,
            authorisation_override="INHERIT",
            identification_types=ALL_TYPES,
        )
    ]


def set_authorisation_override(state: Charger | None, override: Override) -> Sequence[ChargerEvent]:
    """Deviate from the installation, or inherit again (R1)."""
    charger = existing(state)
    if charger.authorisation_override == override:
        return []
    return [
        AuthorisationOverrideSet(
            installation_id=charger.installation_id, authorisation_override=override
        )
    ]


def set_identification_types(
    state: Charger | None, types: Iterable[IdentificationType]
) -> Sequence[ChargerEvent]:
    """Accept exactly `types` from now on, in one step (S0-9)."""
    charger = existing(state)
    wanted = tuple(sorted(set(types)))
    if charger.identification_types == wanted:
        return []
    return [
        IdentificationTypesSet(installation_id=charger.installation_id, identification_types=wanted)
    ]
