"""Callers: who is calling, proved by a token good for minutes.

An account (`administrator:local`, `service:gateway`) has an Ed25519 key pair and
signs its own tokens; every service has the public keys. People (`user:<id>`, and
`administrator:<user id>` where one acts as an administrator) and partners' programs
(`partner:<id>`) are given theirs by identity, whose keys every service asks for. A token
says who, never what he may do: that is `access.Check`'s to say.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import NewType

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chargekey_common import tokens, whole_files
from chargekey_common.errors import UnauthenticatedError
from chargekey_common.tokens import Claims, KeySet

Caller = NewType("Caller", str)

_ACCOUNT = re.compile(r"(administrator|service):([A-Za-z0-9-]{1,64})")
# Users' ids are UUIDs: identity speaks for no account, whose names are words.
_USER_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ISSUED = re.compile(rf"(?:user|partner):[A-Za-z0-9-]{{1,64}}|administrator:{_USER_ID}")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----")
MAX_VERIFIED = 4096

ADMINISTRATOR = Caller("administrator:local")
# Whoever carries no token.
NOBODY = Caller("anonymous:nobody")


def service_account(service: str) -> Caller:
    """Return the account a service calls others under."""
    return Caller(f"service:{service}")


def is_administrator(caller: str) -> bool:
    """Return whether an administrator calls: an account, or a person who acts as one."""
    return caller.startswith("administrator:")


def is_issued(caller: str) -> bool:
    """Return whether it is identity that gives such a caller tokens."""
    return _ISSUED.fullmatch(caller) is not None


def person_of(caller: str) -> str | None:
    """Return the user id of the person who calls, as himself or as an administrator, if one does.

    Of an administrator's account it is the account's name, which is no user's id.
    """
    kind, _, name = caller.partition(":")
    return name if kind in {"user", "administrator"} else None


class Signer:
    """Signs tokens for one account with its private key; keeps one until it is half spent."""

    def __init__(self, caller: Caller, private_key: bytes) -> None:
        self._caller = caller
        self._private_key = private_key
        self._token = ""
        self._signed_at = float("-inf")

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """Read `<kind>_<name>.key`, as `make_account` left it."""
        return cls(Caller(path.stem.replace("_", ":", 1)), path.read_bytes())

    def token(self) -> str:
        """Return a token that is good for some minutes yet."""
        now = time.time()
        # Also when the clock was set back: from the future, a token is good for nobody.
        if not 0 <= now - self._signed_at < tokens.LIFETIME / 2:
            caller = self._caller
            self._token = tokens.sign(
                self._private_key, caller, issuer=caller, subject=caller, now=now
            )
            self._signed_at = now
        return self._token


class Verifier:
    """Tells callers by their tokens: accounts by a directory of public keys, others by identity's.

    A key that is removed or replaced counts for every new token at once, and for the
    tokens it has let in already when they expire. Several may stand in an account's file, one
    behind the other, so that it can change its own without a call refused.
    """

    def __init__(self, accounts: Path, issued: KeySet) -> None:
        self._accounts = accounts
        self._issued = issued
        self._verified: dict[str, tuple[Caller, float]] = {}

    async def verify(self, token: str) -> Caller:
        """Return whose token it is.

        Raises UnauthenticatedError on any doubt, and UnavailableError where identity,
        which does not answer, would have to be asked.
        """
        caller, _ = await self.verified(token)
        return caller

    async def verified(self, token: str) -> tuple[Caller, float]:
        """Return whose token it is, and until when, in seconds since the epoch; raises the same."""
        verified = self._verified.get(token)
        if verified is not None and time.time() < verified[1]:
            return verified
        kid = tokens.key_id(token)
        if not kid:
            raise UnauthenticatedError
        account = _ACCOUNT.fullmatch(kid)
        if account is not None:
            claims = self._by_account(token, account)
            vouched_for = claims.subject == kid
        else:
            claims = tokens.verified(token, await self._issued.key(kid), tokens.IDENTITY)
            vouched_for = is_issued(claims.subject)
        if not vouched_for:
            raise UnauthenticatedError
        caller = Caller(claims.subject)
        if len(self._verified) >= MAX_VERIFIED:
            self._verified.clear()
        self._verified[token] = verified = caller, float(claims.expires_at)
        return verified

    def _by_account(self, token: str, account: re.Match[str]) -> Claims:
        try:
            keys = (self._accounts / f"{account[1]}_{account[2]}.pem").read_bytes()
        except FileNotFoundError:
            raise UnauthenticatedError from None
        for key in _PEM.findall(keys):
            with contextlib.suppress(UnauthenticatedError):
                return tokens.verified(token, key, account[0])
        raise UnauthenticatedError


def make_account(caller: Caller, *, keys: Path, accounts: Path) -> Path:
    """Make a key pair for `caller` unless it has one; return the private key's file."""
    name = caller.replace(":", "_", 1)
    private, public = keys / f"{name}.key", accounts / f"{name}.pem"
    for directory in (keys, accounts):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not private.exists():
        key = Ed25519PrivateKey.generate()
        whole_files.write(
            public,
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
        )
        whole_files.write(
            private,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
    return private
