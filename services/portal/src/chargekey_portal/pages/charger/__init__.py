"""`/chargers/ID/…`: what a visitor sees, sets and does of one charger."""

from __future__ import annotations

from chargekey_portal.pages.charger import (
    commands,
    configuration,
    convergence,
    decisions,
    settings,
    status,
)

ROUTERS = (
    status.router,
    settings.router,
    configuration.router,
    convergence.router,
    decisions.router,
    commands.router,
)
