"""Callers: who is calling, proved by a short-lived token each account signs itself.

An account (`administrator:local`, `service:gateway`) has an Ed25519 key pair. It
signs its own tokens, good for minutes; every service has the public keys. A
token says who, never what he may do: that is `access.Check`'s to say.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NewType

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chargekey_common import whole_files
from chargekey_common.errors import UnauthenticatedError

Caller = NewType("Caller", str)

AUDIENCE = "chargekey"
ALGORITHM = "EdDSA"
LIFETIME = 300
LEEWAY = 30
_FORM = re.compile(r"([a-z]+):([A-Za-z0-9-]{1,64})")
ADMINISTRATOR = Caller("administrator:local")


def service_account(service: str) -> Caller:
    """Return the account a service calls others under."""
    return Caller(f"service:{service}")


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
        if not 0 <= now - self._signed_at < LIFETIME / 2:
            claims = {
                "iss": self._caller,
                "sub": self._caller,
                "aud": AUDIENCE,
                "iat": int(now),
                "exp": int(now) + LIFETIME,
            }
            self._token = jwt.encode(
                claims, self._private_key, algorithm=ALGORITHM, headers={"kid": self._caller}
            )
            self._signed_at = now
        return self._token


class Verifier:
    """Tells callers by their tokens, from a directory of public keys.

    A key that is removed or replaced there counts for every new token at once, and
    for the tokens it has let in already when they expire.
    """

    def __init__(self, accounts: Path) -> None:
        self._accounts = accounts
        self._verified: dict[str, tuple[Caller, float]] = {}

    def verify(self, token: str) -> Caller:
        """Return who signed the token; raises UnauthenticatedError on any doubt."""
        verified = self._verified.get(token)
        if verified is not None and time.time() < verified[1]:
            return verified[0]
        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
            claims = jwt.decode(
                token,
                self._key(kid),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=kid,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "sub", "aud"]},
            )
        except jwt.PyJWTError:
            raise UnauthenticatedError from None
        if claims["sub"] != kid or int(claims["exp"]) - int(claims["iat"]) > LIFETIME:
            raise UnauthenticatedError
        caller = Caller(kid)
        if len(self._verified) >= 1024:  # noqa: PLR2004 - bounded; a caller renews rarely
            self._verified.clear()
        self._verified[token] = caller, float(claims["exp"])
        return caller

    def _key(self, kid: str) -> bytes:
        account = _FORM.fullmatch(kid)
        if account is None:
            raise UnauthenticatedError
        try:
            return (self._accounts / f"{account[1]}_{account[2]}.pem").read_bytes()
        except FileNotFoundError:
            raise UnauthenticatedError from None


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
