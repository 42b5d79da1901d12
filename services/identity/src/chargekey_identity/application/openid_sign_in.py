"""What can be done to sign in by an OpenID Connect provider."""

from __future__ import annotations

import asyncio
import time

import msgspec

from chargekey_common.accounts import NOBODY
from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.arrivals import Arrivals
from chargekey_identity.domain.errors import OpenIdNotConfiguredError, RedirectUriRefusedError
from chargekey_identity.openid_provider import OpenIdProvider
from chargekey_identity.tables.openid_states import OpenIdStates

# How many sign-ins may begin within how many seconds, whoever begins them: each is kept
# until it can be completed no longer.
MOST = 10_000
WITHIN = 600


class Begin(msgspec.Struct, frozen=True):
    """Where to send the browser, and the state that it has to come back with."""

    authorization_url: str
    state: str

    def __repr__(self) -> str:
        return "Begin()"


class OpenIdSignIn:
    """Both halves of it; without a provider it says so."""

    def __init__(
        self,
        provider: OpenIdProvider | None,
        states: OpenIdStates,
        addresses: Addresses,
        arrivals: Arrivals,
        attempts: Attempts,
    ) -> None:
        self._provider = provider
        self._states = states
        self._addresses = addresses
        self._arrivals = arrivals
        self._attempts = attempts

    async def begin(self, redirect_uri: str) -> Begin:
        """Begin.

        Raises OpenIdNotConfiguredError, RedirectUriRefusedError, OpenIdUnavailableError or
        TooManyAttemptsError.
        """
        provider = self._configured()
        if redirect_uri not in provider.client.redirect_uris:
            raise RedirectUriRefusedError
        await asyncio.to_thread(self._attempts.spend, "openid", most=MOST, within=WITHIN)
        begun = await asyncio.to_thread(self._states.begin, redirect_uri, at=time.time_ns())
        return Begin(await provider.authorization_url(begun), begun.state)

    async def complete(self, state: str, code: str, language: str = "") -> str:
        """Let in whoever comes back, and return his user id.

        `language` is what he reads, as `user.sign_in` takes it. Raises
        OpenIdStateUnknownError, SignInRefusedError, and what `OpenIdProvider.who` raises;
        each state is good for one try.
        """
        provider = self._configured()
        begun = await asyncio.to_thread(self._states.take, state, at=time.time_ns())
        account, address = await provider.who(begun, code)
        context = Context(NOBODY, new_id())
        resolved = await asyncio.to_thread(
            self._addresses.resolve_openid, context, account, address
        )
        user_id = resolved.result
        await asyncio.to_thread(
            self._arrivals.sign_in,
            Context(NOBODY, new_id()),
            user_id=user_id,
            by="OPENID",
            language=language,
        )
        return user_id

    def _configured(self) -> OpenIdProvider:
        if self._provider is None:
            raise OpenIdNotConfiguredError
        return self._provider
