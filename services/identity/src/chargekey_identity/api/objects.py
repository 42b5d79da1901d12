"""What requests are about: what the gate asks access about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from chargekey_common.grpc.server import SYSTEM
from chargekey_identity.domain.invitation import Invitation
from chargekey_identity.projections.directory import Directory


class _HasInstallationId(Protocol):
    installation_id: str


class _HasUserId(Protocol):
    user_id: str


def installation_object(request: _HasInstallationId) -> str:
    """Return the object of a request that names its installation."""
    return f"installation:{request.installation_id}"


def anywhere_object(request: _HasInstallationId) -> str:
    """Return the object of a request that names its installation, or is about all there are."""
    return installation_object(request) if request.installation_id else SYSTEM


def user_object(directory: Directory) -> Callable[[_HasUserId], Awaitable[str]]:
    """Return what finds the object of a request that names a user."""

    async def user_object(request: _HasUserId) -> str:
        return await home(directory, request.user_id)

    return user_object


async def home(directory: Directory, user_id: str) -> str:
    """Return the installation that a local user belongs to, and anybody else as himself.

    Raises UserUnknownError.
    """
    user = await asyncio.to_thread(directory.user, user_id)
    if user.kind == "LOCAL":
        return f"installation:{user.installation_id}"
    return f"user:{user_id}"


async def at_site(directory: Directory, user_id: str, installation_id: str | None) -> str:
    """Return a user as one of a site's, where one is named and he belongs to none.

    Raises UserUnknownError.
    """
    about = await home(directory, user_id)
    if installation_id and about.startswith("user:"):
        return f"{about}/installation:{installation_id}"
    return about


def about_invitation(invitation: Invitation) -> str:
    """Return where an invitation is to: a partner, a charger or a whole installation."""
    given = invitation.given
    if given.partner_id is not None:
        return f"partner:{given.partner_id}"
    if given.charger_id is not None:
        return f"charger:{given.charger_id}"
    return f"installation:{given.installation_id}"
