"""`/installations/ID/…`: what one installation is, has and has seen; a file a page."""

from __future__ import annotations

from chargekey_portal.pages.installation import (
    activity,
    blocks,
    chargers,
    identifications,
    local_users,
    people_table,
    reports,
    scans,
    sessions,
    settings,
    unknown_codes,
)

ROUTERS = (
    settings.router,
    sessions.router,
    reports.router,
    activity.router,
    chargers.router,
    blocks.router,
    people_table.router,
    local_users.router,
    scans.router,
    unknown_codes.router,
    identifications.router,
)
