"""Tokens: Ed25519 JWTs good for minutes, and the keys that an issuer's are verified with.

A token's `kid` says which key signed it, and thereby who vouches for its subject: an
account's names the account, which vouches for itself alone; every other is a signing
key of identity, which vouches for people and for partners' programs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chargekey_common.errors import UnauthenticatedError, UnavailableError

AUDIENCE = "chargekey"
# Who issues the tokens of people and partners' programs.
IDENTITY = "chargekey-identity"
ALGORITHM = "EdDSA"
# Seconds that a token is good for, and that clocks may differ.
LIFETIME = 300
LEEWAY = 30

# Seconds between two questions for keys, and after which known keys are asked for again.
PAUSE = 1.0
FRESH = 300.0

PrivateKey = Ed25519PrivateKey | bytes


class Claims(msgspec.Struct, frozen=True):
    """Whom a token is about, and until when: seconds since the epoch."""

    subject: str
    expires_at: int


def sign(key: PrivateKey, kid: str, *, issuer: str, subject: str, now: float) -> str:
    """Return a token that is good for `LIFETIME` seconds from `now`."""
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": AUDIENCE,
        "iat": int(now),
        "exp": int(now) + LIFETIME,
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid})


def key_id(token: str) -> str:
    """Return which key a token says it was signed with; raises UnauthenticatedError."""
    try:
        kid: str = jwt.get_unverified_header(token).get("kid", "")
    except (jwt.PyJWTError, ValueError):
        raise UnauthenticatedError from None
    return kid


def claimed_subject(token: str) -> str:
    """Return whom a token says it is about, for what his word is enough; empty for no token."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        return ""
    return str(claims.get("sub", ""))


def verified(token: str, key: jwt.PyJWK | bytes, issuer: str) -> Claims:
    """Return a token's claims; raises UnauthenticatedError on any doubt.

    Whether this issuer may speak for this subject is the caller's to see.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "iss", "sub", "aud"]},
        )
    except (jwt.PyJWTError, ValueError):  # of a key that is damaged
        raise UnauthenticatedError from None
    if int(claims["exp"]) - int(claims["iat"]) > LIFETIME:
        raise UnauthenticatedError
    return Claims(claims["sub"], int(claims["exp"]))


class KeySet:
    """An issuer's public keys, remembered by their ids.

    `fetch` returns a JWK Set (RFC 7517 §5). It is asked when a key is not known or those
    known are `FRESH` seconds old, by one at a time and not within `PAUSE` seconds of the
    last time, so that made-up ids cannot hammer it; where it raises UnavailableError, the
    known keys go on counting. `clock` tells seconds that never go back.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[str]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetching = asyncio.Lock()
        self._asked = float("-inf")
        self._fetched = float("-inf")

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return a key; without an id the only one (OpenID Connect Core 1.0 §10.1).

        Raises UnauthenticatedError where there is no such key, and UnavailableError where
        that cannot be known at the moment.
        """
        if kid not in self._keys or (self._is_old() and not self._fetching.locked()):
            await self._ask()
        found = self._keys.get(kid)
        if found is not None:
            return found
        # An answer of before the question may be too old to tell.
        raise UnavailableError if self._fetched < self._asked else UnauthenticatedError

    def _is_old(self) -> bool:
        return self._clock() - self._fetched > FRESH

    async def _ask(self) -> None:
        async with self._fetching:
            if self._clock() - self._asked < PAUSE:
                return
            self._asked = self._clock()
            try:
                self._keys = _read(await self._fetch())
            except UnavailableError:
                return
            self._fetched = self._clock()


def _read(jwks: str) -> Mapping[str, jwt.PyJWK]:
    """Return a set's keys for signatures by their ids, without those that cannot be used here."""
    try:
        keys = jwt.PyJWKSet.from_json(jwks).keys
        signing = {each.key_id or "": each for each in keys if each.public_key_use != "enc"}
    # The library's own, and what it lets slip through where a set is no set of keys.
    except (jwt.PyJWTError, ValueError, AttributeError, TypeError, NotImplementedError) as error:
        raise UnavailableError from error
    return {**signing, "": next(iter(signing.values()))} if len(signing) == 1 else signing
