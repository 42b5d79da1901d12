"""An OpenID Connect provider: where to send people, and who they are when they come back.

The authorization code flow of OpenID Connect Core 1.0 with PKCE (RFC 7636); where the
provider has what, its discovery document tells.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx2
import jwt
import msgspec
import structlog

from chargekey_common.errors import UnauthenticatedError, UnavailableError
from chargekey_common.tokens import KeySet, key_id
from chargekey_identity.domain import email
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.errors import (
    OpenIdEmailUnverifiedError,
    OpenIdRefusedError,
    OpenIdUnavailableError,
)
from chargekey_identity.domain.user import OpenIdAccount
from chargekey_identity.tables.openid_states import Begun

SCOPES = "openid email"
ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
# Seconds for one question, and that clocks may differ.
DEADLINE = 4.0
LEEWAY = 30
# Seconds until the discovery document is asked for again, and where it was not told.
FRESH = 3600.0
PAUSE = 5.0
LONGEST_SUBJECT = 255  # OpenID Connect Core 1.0 §2

Answer = TypeVar("Answer")

log = structlog.get_logger()


class Client(msgspec.Struct, frozen=True):
    """How identity is registered with the provider; the secret is empty where it has none.

    People may be sent back to `redirect_uris`, and nowhere else.
    """

    issuer: str
    id: str
    secret: str
    redirect_uris: AbstractSet[str]

    def __repr__(self) -> str:
        return f"Client(issuer={self.issuer!r})"


class _Discovery(msgspec.Struct, frozen=True):
    """What a provider tells of itself (OpenID Connect Discovery 1.0 §3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str = ""


class _Person(msgspec.Struct, frozen=True):
    """The claims that matter; some providers write the flag as a text."""

    sub: str
    email: str = ""
    email_verified: bool | str = False


class OpenIdProvider:
    """One provider, asked over HTTP with deadlines; it is known from the first question on."""

    def __init__(self, client: Client, http: httpx2.AsyncClient) -> None:
        self.client = client
        self._http = http
        self._discovered: _Discovery | None = None
        self._discover_again = float("-inf")
        self._discovering = asyncio.Lock()
        self._keys = KeySet(self._fetch_keys)

    async def authorization_url(self, begun: Begun) -> str:
        """Return where to send a person's browser; raises OpenIdUnavailableError."""
        provider = await self._provider()
        challenge = hashlib.sha256(begun.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "scope": SCOPES,
            "client_id": self.client.id,
            "redirect_uri": begun.redirect_uri,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        there = provider.authorization_endpoint
        return f"{there}{'&' if urlsplit(there).query else '?'}{urlencode(asked)}"

    async def who(self, begun: Begun, code: str) -> tuple[OpenIdAccount, Email]:
        """Return who came back with a code, and his address, which the provider has verified.

        Raises OpenIdRefusedError, OpenIdEmailUnverifiedError, EmailMalformedError or
        OpenIdUnavailableError.
        """
        provider = await self._provider()
        issued = await self._exchange(provider, begun, code)
        person = await self._verified(provider, issued.id_token, begun.nonce)
        if not person.email and provider.userinfo_endpoint:
            person = await self._user_info(provider, issued.access_token, person.sub)
        if not person.email or str(person.email_verified).lower() != "true":
            raise OpenIdEmailUnverifiedError
        return OpenIdAccount(provider.issuer, person.sub), email.canonical(person.email)

    async def _provider(self) -> _Discovery:
        """Return what the provider tells of itself; what it told last where it is away."""
        async with self._discovering:
            if time.monotonic() >= self._discover_again:
                try:
                    self._discovered = await self._discover()
                except OpenIdUnavailableError:
                    self._discover_again = time.monotonic() + PAUSE
                else:
                    self._discover_again = time.monotonic() + FRESH
        if self._discovered is None:
            raise OpenIdUnavailableError
        return self._discovered

    async def _discover(self) -> _Discovery:
        issuer = self.client.issuer
        document = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        found = _read(await self._ask("GET", document), _Discovery)
        # §4.3: exactly; otherwise its tokens would be somebody else's.
        if found.issuer != issuer:
            log.error("openid_issuer_differs", configured=issuer, told=found.issuer)
            raise OpenIdUnavailableError
        ends = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        scheme = urlsplit(issuer).scheme
        if any(urlsplit(end).scheme != scheme for end in (*ends, found.userinfo_endpoint) if end):
            log.error("openid_endpoint_unsafe", issuer=issuer)
            raise OpenIdUnavailableError
        return found

    async def _exchange(self, provider: _Discovery, begun: Begun, code: str) -> _Tokens:
        """Give the code for tokens (RFC 6749 §4.1.3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun.redirect_uri,
            "code_verifier": begun.verifier,
            "client_id": self.client.id,
        }
        headers = {}
        if self.client.secret:
            if "client_secret_post" in provider.token_endpoint_auth_methods_supported:
                form["client_secret"] = self.client.secret
            else:
                headers["authorization"] = self._basic()
        answer = await self._ask("POST", provider.token_endpoint, data=form, headers=headers)
        if answer.is_client_error:
            log.warning("openid_code_refused", status=answer.status_code)
            raise OpenIdRefusedError
        return _read(answer, _Tokens)

    def _basic(self) -> str:
        """Return the client's credential as RFC 6749 §2.3.1 spells it: form-encoded first."""
        pair = f"{quote_plus(self.client.id)}:{quote_plus(self.client.secret)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def _verified(self, provider: _Discovery, token: str, nonce: str) -> _Person:
        """Return an ID token's claims (§3.1.3.7); raises OpenIdRefusedError on any doubt."""
        allowed = ALGORITHMS.intersection(provider.id_token_signing_alg_values_supported)
        try:
            key = await self._keys.key(key_id(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=sorted(allowed),
                audience=self.client.id,
                issuer=provider.issuer,
                leeway=LEEWAY,
                options={
                    "require": ["exp", "iat", "iss", "sub", "aud", "nonce"],
                    "enforce_minimum_key_length": True,
                },
            )
            person = msgspec.convert(claims, _Person)
        except (UnauthenticatedError, jwt.PyJWTError, msgspec.ValidationError):
            raise OpenIdRefusedError from None
        except UnavailableError:
            raise OpenIdUnavailableError from None
        said = claims["nonce"]
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise OpenIdRefusedError
        others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if others else self.client.id) != self.client.id:
            raise OpenIdRefusedError
        if not 0 < len(person.sub) <= LONGEST_SUBJECT:
            raise OpenIdRefusedError
        return person

    async def _user_info(self, provider: _Discovery, access_token: str, subject: str) -> _Person:
        """Return the claims that did not come with the ID token (§5.3)."""
        headers = {"authorization": f"Bearer {access_token}"}
        answer = await self._ask("GET", provider.userinfo_endpoint, headers=headers)
        if answer.is_client_error:
            raise OpenIdRefusedError
        person = _read(answer, _Person)
        if person.sub != subject:  # §5.3.2: it may be about somebody else
            raise OpenIdRefusedError
        return person

    async def _fetch_keys(self) -> str:
        provider = await self._provider()
        return (await self._ask("GET", provider.jwks_uri)).text

    async def _ask(self, method: str, url: str, **sent: Any) -> httpx2.Response:  # noqa: ANN401 - a library's own
        """Return an answer; raises OpenIdUnavailableError where there is none worth reading."""
        try:
            async with asyncio.timeout(DEADLINE):
                answer = await self._http.request(method, url, **sent)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            log.warning("openid_provider_away", error=type(error).__name__)
            raise OpenIdUnavailableError from None
        if not (answer.is_success or answer.is_client_error):
            log.warning("openid_provider_away", status=answer.status_code)
            raise OpenIdUnavailableError
        return answer


def _read(answer: httpx2.Response, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError:
        log.warning("openid_provider_unreadable", expected=kind.__name__)
        raise OpenIdUnavailableError from None
