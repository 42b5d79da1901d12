"""The keys that identity signs access tokens with, changed before anybody could grow fond of one.

A new key stands in the JWK Set `ANNOUNCED` seconds before it signs, for every service
to know it by then, and stays there until the last token of it has ended. The times
stand in the table, so that replicas, which all read it once a second, agree without
talking: of two that would make the next key at once, one makes it.

Private keys are sealed under the master key; a deleted one is overwritten in a file.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from jwt.algorithms import OKPAlgorithm
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, Table, delete, select

from chargekey_common import database, tokens
from chargekey_common.database import ID, NUMBER, Database
from chargekey_common.postgres import Postgres
from chargekey_identity.tables.reachable import reachable

# Seconds that a key signs.
PERIOD = 7 * 24 * 3600
# Seconds in the JWK Set before it does: much longer than services remember one.
ANNOUNCED = 3600
# Seconds in the JWK Set after it did: its tokens' life, and clocks that differ.
KEPT = tokens.LIFETIME + 600
# Seconds between two looks at the table.
LOOK = 1.0

NONCE = 12
NANOSECONDS = 10**9

_TABLES = MetaData()
_KEYS = Table(
    "signing_keys",
    _TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("kid", ID, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    # Seconds since the epoch.
    Column("signs_from", BigInteger, nullable=False),
)


class AccessToken(msgspec.Struct, frozen=True):
    """A token, and when it ends in nanoseconds since the epoch."""

    text: str
    expires_at: int

    def __repr__(self) -> str:
        return f"AccessToken(expires_at={self.expires_at})"


class SigningKey(msgspec.Struct, frozen=True):
    """One key, and from when on it signs."""

    number: int
    kid: str
    private: Ed25519PrivateKey
    signs_from: int

    def public(self) -> dict[str, str]:
        """Return it as others know it (RFC 8037 §2)."""
        jwk = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**jwk, "kid": self.kid, "alg": tokens.ALGORITHM, "use": "sig"}


class SigningKeys:
    """Signs, and tells the public keys; blocking, and safe from any thread.

    `clock` tells seconds since the epoch.
    """

    def __init__(
        self, where: Path | Postgres, master: bytes, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._seal = AESGCM(
            hashlib.blake2b(digest_size=32, key=master, person=b"identity-signing").digest()
        )
        self._lock = threading.Lock()
        self._keys: Sequence[SigningKey] = ()
        self._looked = float("-inf")
        self._db = Database(where, _TABLES, overwriting=True)

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the table, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def sign(self, subject: str) -> AccessToken:
        """Return a token of `user:<id>` or `partner:<id>`; raises StoreUnavailableError."""
        now = self._clock()
        keys = self._known(now)
        # The very first signs at once, also where this replica's clock is behind.
        key = next((each for each in reversed(keys) if each.signs_from <= now), keys[0])
        text = tokens.sign(key.private, key.kid, issuer=tokens.IDENTITY, subject=subject, now=now)
        return AccessToken(text, (int(now) + tokens.LIFETIME) * NANOSECONDS)

    def jwks(self) -> str:
        """Return the public keys as a JWK Set (RFC 7517 §5); raises StoreUnavailableError."""
        keys = [each.public() for each in self._known(self._clock())]
        return msgspec.json.encode({"keys": keys}).decode()

    def _known(self, now: float) -> Sequence[SigningKey]:
        with self._lock:
            if time.monotonic() - self._looked >= LOOK:
                with reachable():
                    self._keys = self._look(int(now))
                self._looked = time.monotonic()
            return self._keys

    def _look(self, now: int) -> Sequence[SigningKey]:
        with self._db.reading() as connection:
            keys = self._read(connection)
        over = [
            key.number
            for key, following in itertools.pairwise(keys)
            if following.signs_from + KEPT <= now
        ]
        if keys and keys[-1].signs_from + PERIOD - ANNOUNCED > now and not over:
            return keys
        with self._db.writing() as connection:
            if not keys:
                self._make(connection, 1, now)
            elif keys[-1].signs_from + PERIOD - ANNOUNCED <= now:
                self._make(connection, keys[-1].number + 1, now + ANNOUNCED)
            connection.execute(delete(_KEYS).where(_KEYS.c.number.in_(over)))
            return self._read(connection)

    def _make(self, connection: Connection, number: int, signs_from: int) -> None:
        """Make a key, unless another replica has just made it."""
        kid, nonce = secrets.token_hex(8), os.urandom(NONCE)
        private = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.Raw,
            serialization.PrivateFormat.Raw,
            serialization.NoEncryption(),
        )
        row = {
            "number": number,
            "kid": kid,
            "sealed": nonce + self._seal.encrypt(nonce, private, kid.encode()),
            "signs_from": signs_from,
        }
        connection.execute(self._db.insert(_KEYS).on_conflict_do_nothing(), row)

    def _read(self, connection: Connection) -> Sequence[SigningKey]:
        rows = connection.execute(select(_KEYS).order_by(_KEYS.c.number))
        return [
            SigningKey(row.number, row.kid, self._unseal(row.sealed, row.kid), row.signs_from)
            for row in rows
        ]

    def _unseal(self, sealed: bytes, kid: str) -> Ed25519PrivateKey:
        private = self._seal.decrypt(sealed[:NONCE], sealed[NONCE:], kid.encode())
        return Ed25519PrivateKey.from_private_bytes(private)
