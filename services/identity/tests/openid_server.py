"""Identity with an OpenID Connect provider of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from chargekey_common.testing.openid import (
    CLIENT_ID,
    CLIENT_SECRET,
    REDIRECT_URI,
    OpenIdServer,
    openid_server,
)
from chargekey_identity.application.openid_sign_in import OpenIdSignIn
from chargekey_identity.openid_provider import Client, OpenIdProvider

from .conftest import Identity


@asynccontextmanager
async def signing_in_by_a_provider(identity: Identity) -> AsyncIterator[OpenIdServer]:
    """Let people sign in to identity by a provider of its own."""
    with openid_server() as server:
        async with httpx2.AsyncClient(trust_env=False) as http:
            identity.openid = OpenIdSignIn(
                OpenIdProvider(
                    Client(server.issuer, CLIENT_ID, CLIENT_SECRET, {REDIRECT_URI}), http
                ),
                identity.storage.openid_states,
                identity.addresses,
                identity.arrivals,
                identity.storage.attempts,
            )
            yield server
