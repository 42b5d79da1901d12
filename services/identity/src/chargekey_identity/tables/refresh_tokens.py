"""Refresh tokens: what a signed-in program keeps between two access tokens.

One works once and brings the next. Who shows one that was used already has it from
somewhere: then everything that came of its sign-in ends, for the thief and for the
person, who signs in again. Tokens are kept as keyed hashes.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, delete, insert, select, update

from chargekey_common import database
from chargekey_common.database import ID, Database
from chargekey_common.postgres import Postgres
from chargekey_identity.domain.errors import SignInEndedError
from chargekey_identity.domain.secret import Secrets
from chargekey_identity.tables.reachable import reachable

# Nanoseconds without a refresh after which a sign-in has ended.
IDLE = 30 * 24 * 3600 * 10**9

_FORM = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")

_TABLES = MetaData()
_SIGN_INS = Table(
    "sign_ins",
    _TABLES,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, nullable=False, index=True),
    # Of the one token that works.
    Column("token_hash", Text, nullable=False),
    # Nanoseconds since the epoch.
    Column("expires_at", BigInteger, nullable=False, index=True),
)

log = structlog.get_logger()


class Refreshed(msgspec.Struct, frozen=True):
    """Whose sign-in it is, and the token for the next time."""

    user_id: str
    token: str

    def __repr__(self) -> str:
        return f"Refreshed(user_id={self.user_id!r})"


class RefreshTokens:
    """The sign-ins that have not ended; blocking, and safe from any thread.

    Every method raises StoreUnavailableError; `at` is now, in nanoseconds since the epoch.
    """

    def __init__(self, where: Path | Postgres, master: bytes) -> None:
        self._secrets = Secrets(master, b"identity-refresh")
        self._db = Database(where, _TABLES, overwriting=True)

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the table, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def begin(self, user_id: str, *, at: int) -> str:
        """Begin a sign-in and return its first token; those that ended idle are forgotten."""
        key = secrets.token_hex(16)
        token, hashed = self._new(key)
        row = {"id": key, "user_id": user_id, "token_hash": hashed, "expires_at": at + IDLE}
        with reachable(), self._db.writing() as connection:
            connection.execute(delete(_SIGN_INS).where(_SIGN_INS.c.expires_at <= at))
            connection.execute(insert(_SIGN_INS), row)
        return token

    def refresh(self, token: str, *, at: int) -> Refreshed:
        """Take a token for the next one; of two who show the same at once neither keeps it.

        Raises SignInEndedError.
        """
        shown = _FORM.fullmatch(token)
        if shown is None:
            raise SignInEndedError
        key = shown[1]
        with reachable(), self._db.writing() as connection:
            mine = _SIGN_INS.c.id == key
            row = connection.execute(select(_SIGN_INS).where(mine).with_for_update()).first()
            refreshed = None
            if row is not None and row.expires_at > at:
                if self._secrets.matches(row.token_hash, key, shown[2]):
                    following, hashed = self._new(key)
                    now = {"token_hash": hashed, "expires_at": at + IDLE}
                    connection.execute(update(_SIGN_INS).where(mine).values(now))
                    refreshed = Refreshed(row.user_id, following)
                else:
                    log.warning("refresh_token_reused", user_id=row.user_id)
                    connection.execute(delete(_SIGN_INS).where(mine))
        if refreshed is None:
            raise SignInEndedError
        return refreshed

    def end(self, token: str) -> None:
        """End a token's sign-in, if it has one that has not ended."""
        shown = _FORM.fullmatch(token)
        if shown is not None:
            with reachable(), self._db.writing() as connection:
                connection.execute(delete(_SIGN_INS).where(_SIGN_INS.c.id == shown[1]))

    def forget(self, user_id: str) -> None:
        """End every sign-in of a user."""
        with reachable(), self._db.writing() as connection:
            connection.execute(delete(_SIGN_INS).where(_SIGN_INS.c.user_id == user_id))

    def _new(self, key: str) -> tuple[str, str]:
        """Return a token of this sign-in, and what is kept of it."""
        secret = secrets.token_urlsafe(32)
        return f"{key}.{secret}", self._secrets.hash(key, secret)
