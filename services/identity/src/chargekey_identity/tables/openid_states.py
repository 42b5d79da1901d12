"""Sign-ins by a provider that have begun: each can be completed once, within ten minutes."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, delete, insert, select

from chargekey_common import database
from chargekey_common.database import ID, Database
from chargekey_common.postgres import Postgres
from chargekey_identity.domain.errors import OpenIdStateUnknownError
from chargekey_identity.domain.secret import Secrets
from chargekey_identity.tables.reachable import reachable

# Nanoseconds that a person has to sign in at the provider.
LIFETIME = 600 * 10**9

_TABLES = MetaData()
_STATES = Table(
    "openid_states",
    _TABLES,
    Column("state_hash", ID, primary_key=True),
    Column("redirect_uri", Text, nullable=False),
    # Nanoseconds since the epoch.
    Column("expires_at", BigInteger, nullable=False, index=True),
)


class Begun(msgspec.Struct, frozen=True):
    """What the provider is told, and asked with in return (RFC 7636, OpenID Connect §3.1.2.1)."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str

    def __repr__(self) -> str:
        return f"Begun(redirect_uri={self.redirect_uri!r})"


class OpenIdStates:
    """The sign-ins under way; blocking, and safe from any thread.

    Nonce and verifier follow from the state, under a secret that identity alone has, so
    that none of the three is kept. Every method raises StoreUnavailableError.
    """

    def __init__(self, where: Path | Postgres, master: bytes) -> None:
        self._secrets = Secrets(master, b"identity-openid")
        self._db = Database(where, _TABLES)

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the table, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def begin(self, redirect_uri: str, *, at: int) -> Begun:
        """Begin a sign-in; `at` is now, in nanoseconds since the epoch."""
        state = secrets.token_urlsafe(32)
        row = {
            "state_hash": self._secrets.hash(state),
            "redirect_uri": redirect_uri,
            "expires_at": at + LIFETIME,
        }
        with reachable(), self._db.writing() as connection:
            connection.execute(delete(_STATES).where(_STATES.c.expires_at <= at))
            connection.execute(insert(_STATES), row)
        return self._begun(state, redirect_uri)

    def take(self, state: str, *, at: int) -> Begun:
        """Return what was begun, once; raises OpenIdStateUnknownError."""
        mine = _STATES.c.state_hash == self._secrets.hash(state)
        with reachable(), self._db.writing() as connection:
            row = connection.execute(select(_STATES).where(mine).with_for_update()).first()
            connection.execute(delete(_STATES).where(mine))
        if row is None or row.expires_at <= at:
            raise OpenIdStateUnknownError
        return self._begun(state, row.redirect_uri)

    def _begun(self, state: str, redirect_uri: str) -> Begun:
        return Begun(
            state,
            self._secrets.derive("nonce", state),
            self._secrets.derive("verifier", state),
            redirect_uri,
        )
