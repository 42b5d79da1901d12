"""Attempts, counted: what can be guessed, or asked for too often, has a limit.

What is counted by, an address or a caller, is kept as a digest under a key of the
database's own, and no longer than it counts.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    case,
    delete,
    or_,
    select,
    update,
)

from chargekey_common import database
from chargekey_common.database import NUMBER, Database, DatabaseUnavailableError
from chargekey_common.errors import TooManyAttemptsError
from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.postgres import Postgres

__all__ = ["Attempts", "TooManyAttemptsError"]

_SECOND = 10**9
# Of two at once, or of two replicas, one may tell an earlier time than what is counted
# already; it is no clock that was set back unless it is behind by more than this.
_APART = 60 * _SECOND
# Old rows that one attempt takes away at the most.
_SWEPT = 100

_TABLES = MetaData()
_ATTEMPTS = Table(
    "attempts",
    _TABLES,
    Column("digest", LargeBinary, primary_key=True),
    Column("count", Integer, nullable=False),
    # Nanoseconds since the epoch.
    Column("ends_at", BigInteger, nullable=False, index=True),
)
# One row.
_KEY = Table(
    "attempts_key",
    _TABLES,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
)


class Attempts:
    """Counts them; blocking, and safe from any thread of any replica.

    `clock` tells nanoseconds since the epoch.
    """

    def __init__(self, where: Path | Postgres, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._db = Database(where, _TABLES)
        try:
            self._key = self._made_once()
        except BaseException:
            self._db.close()
            raise

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def spend(self, key: str, *, most: int, within: float) -> None:
        """Count an attempt: `most` are free in the `within` seconds from the first on.

        Raises TooManyAttemptsError, which tells when to try again, and StoreUnavailableError.
        What is refused is not counted.
        """
        now = self._clock()
        new = self._db.insert(_ATTEMPTS).values(
            digest=self._digest(key),
            count=1,
            ends_at=now + round(within * _SECOND),
        )
        # One that ends much later than a new one would: the clock was set back.
        over = or_(_ATTEMPTS.c.ends_at <= now, _ATTEMPTS.c.ends_at > new.excluded.ends_at + _APART)
        counted = new.on_conflict_do_update(
            index_elements=[_ATTEMPTS.c.digest],
            set_={
                "count": case((over, 1), else_=_ATTEMPTS.c.count + 1),
                "ends_at": case((over, new.excluded.ends_at), else_=_ATTEMPTS.c.ends_at),
            },
        ).returning(_ATTEMPTS.c.count, _ATTEMPTS.c.ends_at)
        # Passing over what another replica holds: two that wait for each other would fail.
        old = select(_ATTEMPTS.c.digest).where(_ATTEMPTS.c.ends_at <= now)
        swept = old.limit(_SWEPT).with_for_update(skip_locked=True)
        try:
            with self._db.writing() as connection:
                count, ends_at = connection.execute(counted).one()
                if count > most:
                    raise TooManyAttemptsError(ends_at - now)
                connection.execute(delete(_ATTEMPTS).where(_ATTEMPTS.c.digest.in_(swept)))
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError from error

    def give_back(self, key: str) -> None:
        """Uncount an attempt that was spent, so that those alone count that failed.

        Of many at once no more are let through than one by one. Raises
        StoreUnavailableError.
        """
        spent = (_ATTEMPTS.c.digest == self._digest(key), _ATTEMPTS.c.count > 0)
        less = update(_ATTEMPTS).where(*spent).values(count=_ATTEMPTS.c.count - 1)
        try:
            with self._db.writing() as connection:
                connection.execute(less)
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError from error

    def _digest(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode(), digest_size=16, key=self._key).digest()

    def _made_once(self) -> bytes:
        with self._db.writing() as connection:
            row = {"id": 1, "key": secrets.token_bytes(32)}
            connection.execute(self._db.insert(_KEY).on_conflict_do_nothing(), row)
            key: bytes = connection.execute(select(_KEY.c.key)).scalar_one()
        return key
