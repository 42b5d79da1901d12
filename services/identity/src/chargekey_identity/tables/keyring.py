"""Data keys: one a user, so that destroying it makes everything personal unreadable (R20).

A data key seals names, codes and keyed ids with AES-256-GCM under nonces of 12
random bytes; the context (which event, where) is authenticated with them. Data
keys themselves are kept wrapped by the master key, in tables of their own beside
the events: a copy of the database without the master key tells nothing.

Keys are remembered, and other replicas may destroy them. Every destruction counts
up one number, and whoever has not read that number within the last `LEASE` reads
it before a remembered key is used; when it has changed, all are forgotten. So a
key is in use nowhere once `LEASE` has passed, which `destroy` waits for, and a
rebuild from a million events asks once a second and not once an event.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    select,
    update,
)

from chargekey_common import database
from chargekey_common.database import ID, NUMBER, Database
from chargekey_common.errors import CannotRunError
from chargekey_common.postgres import Postgres
from chargekey_identity.domain.errors import UserUnknownError
from chargekey_identity.tables.reachable import reachable

NONCE = 12
KEY_BITS = 256
MAX_CACHED = 1024
# Seconds that remembered keys are used without asking whether one was destroyed.
LEASE = 1.0

_TABLES = MetaData()
_KEYS = Table(
    "data_keys",
    _TABLES,
    Column("user_id", ID, primary_key=True),
    # Nothing once it is destroyed.
    Column("wrapped", LargeBinary),
    sqlite_with_rowid=False,
)
_IS_DESTROYED = _KEYS.c.wrapped.is_(None)
Index(
    "data_keys_destroyed",
    _KEYS.c.user_id,
    sqlite_where=_IS_DESTROYED,
    postgresql_where=_IS_DESTROYED,
)
# One row.
_RING = Table(
    "key_ring",
    _TABLES,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    # Sealed by the master key, to recognise it by.
    Column("proof", LargeBinary, nullable=False),
    Column("destroyed", BigInteger, nullable=False),
)
_DESTROYED = select(_RING.c.destroyed)
_TOMBSTONES = select(_KEYS.c.user_id).where(_IS_DESTROYED)
_WRAPPED = select(_KEYS.c.wrapped).where(_KEYS.c.user_id == bindparam("owner"))


class MasterKeyMismatchError(CannotRunError):
    """The data keys are wrapped by another master key than the one given."""

    def __init__(self) -> None:
        super().__init__(
            "The keys in this database belong to another master key:"
            " give the one it was made with, or name another database."
        )


class DataKeyMissingError(Exception):
    """A user's data key is neither there nor destroyed: the keys are lost or too old."""


class KeyRing:
    """The service's `Seal`; safe from any thread, one a process.

    A key is durable before anything is sealed with it. `secret` of 16 to 64 bytes
    makes the master key. Raises ValueError for a shorter one and
    MasterKeyMismatchError for another than before.
    """

    def __init__(self, where: Path | Postgres, secret: bytes) -> None:
        if len(secret) < 16:  # noqa: PLR2004 - 128 bits, the least a key has
            message = "the master key must have at least 16 bytes"
            raise ValueError(message)
        self._master = AESGCM(
            hashlib.blake2b(digest_size=32, key=secret, person=b"identity-master").digest()
        )
        self._lock = threading.Lock()
        self._cached: OrderedDict[str, AESGCM] = OrderedDict()
        self._listeners: list[Callable[[], None]] = []
        self._destroyed = 0
        self._asked = -LEASE
        self._db = Database(where, _TABLES, overwriting=True)
        self._new_key = self._db.insert(_KEYS).on_conflict_do_nothing()
        gone = self._db.insert(_KEYS)
        self._no_key = gone.on_conflict_do_update(
            index_elements=[_KEYS.c.user_id], set_={"wrapped": gone.excluded.wrapped}
        )
        try:
            self._require_same_master()
        except BaseException:
            self._db.close()
            raise

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._cached.clear()
            self._db.close()

    def seal(self, owner: str, plain: bytes, context: bytes) -> bytes:
        """Encrypt under the owner's key, made at his first event; UserUnknownError if destroyed."""
        with self._opened():
            key = self._key(owner, or_new=True)
        if key is None:
            raise UserUnknownError
        return _encrypt(key, plain, context)

    def unseal(self, owner: str, sealed: bytes, context: bytes) -> bytes | None:
        """Decrypt, or return None when the owner's key is destroyed.

        Raises DataKeyMissingError, and cryptography's InvalidTag for what was not
        sealed for this owner and context.
        """
        with self._opened():
            key = self._key(owner, or_new=False)
        return None if key is None else _decrypt(key, sealed, context)

    def destroy(self, *user_ids: str) -> None:
        """Make all that is sealed for these users unreadable, for ever and in every later copy.

        When this returns no replica uses a key of theirs any more, and its bytes are gone
        from where it stood: overwritten in a file and gone from the file's log; on
        PostgreSQL as far as `Database.scrub` says. What remains is that there was one,
        so that none is made again. After an error, destroy them again.
        """
        with self._opened():
            for user_id in user_ids:
                self._cached.pop(user_id, None)
            with self._db.writing() as connection:
                # First, so that of two replicas one waits here and the number counts both.
                connection.execute(update(_RING).values(destroyed=_RING.c.destroyed + 1))
                gone = [{"user_id": user_id, "wrapped": None} for user_id in user_ids]
                connection.execute(self._no_key, gone)
        if self._db.shared:
            time.sleep(LEASE)
        with self._opened():
            self._db.scrub(_KEYS)
        for listener in self._listeners:
            listener()

    def destroyed(self) -> AbstractSet[str]:
        """Return the tombstones: the users whose keys were destroyed."""
        # Nobody's sealing waits for this, or for what follows: they read what is committed.
        with reachable(), self._db.reading() as connection:
            return set(connection.execute(_TOMBSTONES).scalars())

    def is_destroyed(self, user_id: str) -> bool:
        """Return whether a user's key was destroyed."""
        with reachable(), self._db.reading() as connection:
            return _row(connection, user_id) == (None,)

    def destructions(self) -> int:
        """Return a number that changes with the tombstones, in the same transaction."""
        with reachable(), self._db.reading() as connection:
            return _destructions(connection)

    def on_destroyed(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the destroying thread, after each destruction by this process."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        with self._lock, reachable():
            yield

    def _key(self, owner: str, *, or_new: bool) -> AESGCM | None:
        """Return the owner's key, None when destroyed; the lock is held."""
        self._forget_destroyed()
        cached = self._cached.get(owner)
        if cached is not None:
            self._cached.move_to_end(owner)
            return cached
        with self._db.reading() as connection:
            row = _row(connection, owner)
        if row is None:
            if not or_new:
                raise DataKeyMissingError(owner)
            row = self._make(owner)
        (wrapped,) = row
        if wrapped is None:
            return None
        key = AESGCM(_decrypt(self._master, wrapped, owner.encode()))
        self._cached[owner] = key
        if len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)
        return key

    def _forget_destroyed(self) -> None:
        # From before the question: what is destroyed while it is answered counts as later.
        now = time.monotonic()
        if now - self._asked < LEASE:
            return
        with self._db.reading() as connection:
            destroyed = _destructions(connection)
        if destroyed != self._destroyed:
            self._cached.clear()
            self._destroyed = destroyed
        self._asked = now

    def _make(self, owner: str) -> tuple[bytes | None]:
        """Return the row of the owner's new key, or the one that another made meanwhile."""
        wrapped = _encrypt(self._master, AESGCM.generate_key(KEY_BITS), owner.encode())
        with self._db.writing() as connection:
            connection.execute(self._new_key, {"user_id": owner, "wrapped": wrapped})
            row = _row(connection, owner)
        if row is None:
            raise DataKeyMissingError(owner)
        return row

    def _require_same_master(self) -> None:
        with self._db.writing() as connection:
            connection.execute(
                self._db.insert(_RING).on_conflict_do_nothing(),
                {"id": 1, "proof": _encrypt(self._master, b"", b""), "destroyed": 0},
            )
            proof: bytes = connection.execute(select(_RING.c.proof)).scalar_one()
        try:
            _decrypt(self._master, proof, b"")
        except InvalidTag:
            raise MasterKeyMismatchError from None


def _destructions(connection: Connection) -> int:
    found: int = connection.execute(_DESTROYED).scalar_one()
    return found


def _row(connection: Connection, owner: str) -> tuple[bytes | None] | None:
    found = connection.execute(_WRAPPED, {"owner": owner}).first()
    return None if found is None else (found.wrapped,)


def _encrypt(key: AESGCM, plain: bytes, context: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + key.encrypt(nonce, plain, context)


def _decrypt(key: AESGCM, sealed: bytes, context: bytes) -> bytes:
    return key.decrypt(sealed[:NONCE], sealed[NONCE:], context)
