"""`/profile/…`: the visitor himself, and what he has."""

from __future__ import annotations

from chargekey_portal.pages.profile import (
    about_me,
    chargers,
    data,
    identifications,
    past,
    permissions,
    scans,
)

ROUTERS = (
    about_me.router,
    identifications.router,
    scans.router,
    chargers.router,
    past.router,
    permissions.router,
    data.router,
)
