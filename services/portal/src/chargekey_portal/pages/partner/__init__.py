"""`/partners/ID/…`: one partner, for its members."""

from __future__ import annotations

from chargekey_portal.pages.partner import (
    about,
    access_requests,
    credentials,
    decision_endpoint,
    feed,
    members,
    ocpi,
    permissions,
    webhooks,
)

ROUTERS = (
    about.router,
    members.router,
    permissions.router,
    access_requests.router,
    credentials.router,
    feed.router,
    webhooks.router,
    decision_endpoint.router,
    ocpi.router,
)
