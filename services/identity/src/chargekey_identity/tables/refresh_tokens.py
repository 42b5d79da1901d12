"""Refresh tokens: what a signed-in program keeps between two access tokens.

One brings the next, and that one always: it follows from the one before, by a secret that
identity alone has. So whoever shows one again within `GRACE`, several tabs of a browser or a
program whose answer was lost, is given what was answered then. Who shows an older one, or one
after that, has it from somewhere: then everything that came of its sign-in ends, for the thief
and for the person, who signs in again. Of tokens the last one's keyed hash alone is kept.
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
# Nanoseconds after its use in which a token is answered again: as long as a call may take.
# Nanoseconds: longer than any request that begins with taking the next one.
GRACE = 90 * 10**9

_FORM = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")

_TABLES = MetaData()
_SIGN_INS = Table(
    "sign_ins",
    _TABLES,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, nullable=False, index=True),
    # Of the last token; the one before is known by what follows from it.
    Column("token_hash", Text, nullable=False),
    # Nanoseconds since the epoch, `IDLE` after the last token was made.
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
        secret = secrets.token_urlsafe(32)
        hashed = self._secrets.hash(key, secret)
        row = {"id": key, "user_id": user_id, "token_hash": hashed, "expires_at": at + IDLE}
        with reachable(), self._db.writing() as connection:
            connection.execute(delete(_SIGN_INS).where(_SIGN_INS.c.expires_at <= at))
            connection.execute(insert(_SIGN_INS), row)
        return f"{key}.{secret}"

    def refresh(self, token: str, *, at: int) -> Refreshed:
        """Take a token for the next one; all who show the same within `GRACE` are given the same.

        Raises SignInEndedError.
        """
        shown = _FORM.fullmatch(token)
        if shown is None:
            raise SignInEndedError
        key, secret = shown.groups()
        following = self._secrets.derive(key, secret)
        with reachable(), self._db.writing() as connection:
            mine = _SIGN_INS.c.id == key
            row = connection.execute(select(_SIGN_INS).where(mine).with_for_update()).first()
            goes_on = False
            if row is not None and row.expires_at > at:
                if self._secrets.matches(row.token_hash, key, secret):
                    hashed = self._secrets.hash(key, following)
                    now = {"token_hash": hashed, "expires_at": at + IDLE}
                    connection.execute(update(_SIGN_INS).where(mine).values(now))
                    goes_on = True
                elif at < row.expires_at - IDLE + GRACE:
                    goes_on = self._secrets.matches(row.token_hash, key, following)
                if not goes_on:
                    log.warning("refresh_token_reused", user_id=row.user_id)
                    connection.execute(delete(_SIGN_INS).where(mine))
        if row is None or not goes_on:
            raise SignInEndedError
        return Refreshed(row.user_id, f"{key}.{following}")

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
