"""`/administration/…`: what only administrators see and do."""

from __future__ import annotations

from chargekey_portal.pages.administration import (
    acting,
    health,
    installations,
    partners,
    people,
)

ROUTERS = (
    acting.router,
    people.router,
    partners.router,
    installations.router,
    health.router,
)
