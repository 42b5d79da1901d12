"""Who holds what at an installation or one charger, and how it is given, asked for and taken."""

from __future__ import annotations

from chargekey_portal.pages.permissions import (
    access_requests,
    giving,
    held,
    invitations,
    ownership,
    permission,
)

ROUTERS = (
    held.router,
    giving.router,
    permission.router,
    ownership.router,
    invitations.router,
    access_requests.router,
)
