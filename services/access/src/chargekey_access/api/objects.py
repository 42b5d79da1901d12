"""What requests are about, where several services' are about the same."""

from __future__ import annotations

from typing import Protocol


class _AboutInstallation(Protocol):
    installation_id: str


class _AboutCharger(Protocol):
    charger_id: str


class _AboutPermission(Protocol):
    permission_id: str


class _AboutPartner(Protocol):
    partner_id: str


class _AboutUser(Protocol):
    user_id: str


def system(_: object) -> str:
    """Return the object of what is about no single thing."""
    return "system"


def installation(request: _AboutInstallation) -> str:
    """Return the installation that a request names."""
    return f"installation:{request.installation_id}"


def charger(request: _AboutCharger) -> str:
    """Return the charger that a request names."""
    return f"charger:{request.charger_id}"


def permission(request: _AboutPermission) -> str:
    """Return the permission that a request names."""
    return f"permission:{request.permission_id}"


def partner(request: _AboutPartner) -> str:
    """Return the partner that a request names."""
    return f"partner:{request.partner_id}"


def user_or_oneself(request: _AboutUser) -> str:
    """Return the user that a request names, and the system where that is the caller himself."""
    return f"user:{request.user_id}" if request.user_id else system(request)
