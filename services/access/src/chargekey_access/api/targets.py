"""What a permission is to be on, and with which roles, out of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Literal, Protocol

from chargekey_access.api import objects
from chargekey_access.api.words import ROLES
from chargekey_access.domain.errors import RolesMissingError, TargetMissingError
from chargekey_access.domain.events import Role
from chargekey_access.domain.permission import Target
from chargekey_access.projections.directory import Directory


class NamesTarget(Protocol):
    """A request about an installation or one charger."""

    installation_id: str
    charger_id: str

    def WhichOneof(self, oneof_group: Literal["target"], /) -> str | None:
        """Return which of the two is given."""


def target_object(request: NamesTarget) -> str:
    """Return the installation or charger that a request names, as an object of the rules."""
    if request.WhichOneof("target") == "charger_id":
        return objects.charger(request)
    return objects.installation(request)


async def target_of(directory: Directory, request: NamesTarget) -> Target:
    """Return what it names.

    Raises InstallationUnknownError, ChargerUnknownError or TargetMissingError.
    """
    match request.WhichOneof("target"):
        case "charger_id":
            charger = await asyncio.to_thread(directory.sites.charger, request.charger_id)
            return Target(charger.installation_id, request.charger_id)
        case "installation_id":
            # It must exist.
            await asyncio.to_thread(directory.sites.installation, request.installation_id)
            return Target(request.installation_id)
        case _:
            raise TargetMissingError


def roles_of(numbers: Collection[int]) -> Sequence[Role]:
    """Return the roles; raises RolesMissingError where one of them is none."""
    if any(number not in ROLES for number in numbers):
        raise RolesMissingError
    return [ROLES[number] for number in numbers]
