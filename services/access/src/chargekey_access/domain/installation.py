"""An installation: a site with a time zone and authentication settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from chargekey_access.domain.errors import InstallationUnknownError
from chargekey_access.domain.events import (
    AuthorisationRequiredSet,
    InstallationCreated,
    InstallationEvent,
)


class Installation(msgspec.Struct, frozen=True):
    """The site as of its last event."""

    name: str
    time_zone: str
    authorisation_required: bool


def evolve(state: Installation | None, event: InstallationEvent) -> Installation:
    """Return the installation after `event`."""
    match event:
        case InstallationCreated():
            return Installation(event.name, event.time_zone, event.authorisation_required)
        case AuthorisationRequiredSet():
            return msgspec.structs.replace(
                existing(state), authorisation_required=event.authorisation_required
            )
        case _:
            assert_never(event)


def existing(state: Installation | None) -> Installation:
    """Return the installation; raises InstallationUnknownError."""
    if state is None:
        raise InstallationUnknownError
    return state


def create(*, name: str, time_zone: str) -> Sequence[InstallationEvent]:
    """Create a site. It starts restricted: opening it is the owner's explicit decision."""
    return [InstallationCreated(name=name, time_zone=time_zone, authorisation_required=True)]


def set_authorisation_required(
    state: Installation | None, *, required: bool
) -> Sequence[InstallationEvent]:
    """Switch between open and restricted, any number of times (R1)."""
    if existing(state).authorisation_required == required:
        return []
    return [AuthorisationRequiredSet(authorisation_required=required)]
