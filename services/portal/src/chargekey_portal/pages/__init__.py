"""The pages, a file each, by their addresses; `ROUTERS` is all of them."""

from __future__ import annotations

from chargekey_portal.pages import (
    administration,
    caught_mails,
    charger,
    decisions,
    feeds,
    front,
    installation,
    installations,
    invitation,
    partner,
    permissions,
    profile,
    sign_in,
    what_runs_here,
)

ROUTERS = (
    front.router,
    what_runs_here.router,
    feeds.router,
    sign_in.router,
    invitation.router,
    caught_mails.router,
    installations.router,
    decisions.router,
    *installation.ROUTERS,
    *charger.ROUTERS,
    *profile.ROUTERS,
    *partner.ROUTERS,
    *permissions.ROUTERS,
    *administration.ROUTERS,
)
