"""Data keys: one a user, so that destroying it makes everything personal unreadable (R20).

A data key seals names, codes and keyed ids with AES-256-GCM under nonces of 12
random bytes; the context (which event, where) is authenticated with them. Data
keys themselves are kept wrapped by the master key, in a file of their own beside
the event store: a copy of either file alone tells nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chargekey_common import sqlite_file
from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_identity.domain.errors import UserUnknownError

NONCE = 12
KEY_BITS = 256
MAX_CACHED = 1024

_DATA_KEYS = """
    CREATE TABLE IF NOT EXISTS data_keys (
        user_id TEXT PRIMARY KEY,
        wrapped BLOB) WITHOUT ROWID"""
_MASTER = "CREATE TABLE IF NOT EXISTS master (proof BLOB NOT NULL)"


class MasterKeyMismatchError(Exception):
    """The data keys are wrapped by another master key than the one given."""


class DataKeyMissingError(Exception):
    """A user's data key is neither there nor destroyed: the key file is lost or too old."""


class KeyRing:
    """The service's `Seal`; safe from any thread, one a process.

    A key is on disk before anything is sealed with it. `secret` of 16 to 64 bytes
    makes the master key. Raises ValueError for a shorter one and
    MasterKeyMismatchError for another than before.
    """

    def __init__(self, path: Path, secret: bytes) -> None:
        if len(secret) < 16:  # noqa: PLR2004 - 128 bits, the least a key has
            message = "the master key must have at least 16 bytes"
            raise ValueError(message)
        self._master = AESGCM(
            hashlib.blake2b(digest_size=32, key=secret, person=b"identity-master").digest()
        )
        self._lock = threading.Lock()
        self._cached: OrderedDict[str, AESGCM] = OrderedDict()
        self._db = sqlite_file.open_file(path)
        try:
            for statement in ("PRAGMA secure_delete=ON", _DATA_KEYS, _MASTER):
                self._db.execute(statement)
            self._require_same_master()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
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

    def destroy(self, user_id: str) -> None:
        """Make everything sealed for the user unreadable, for ever and in every copy made later.

        The key's bytes are overwritten in the file and gone from its log before
        this returns. What remains is that there was one, so that none is made again.
        """
        with self._opened():
            self._cached.pop(user_id, None)
            self._db.execute("INSERT OR REPLACE INTO data_keys VALUES (?, NULL)", (user_id,))
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                raise StoreUnavailableError from error

    def _key(self, owner: str, *, or_new: bool) -> AESGCM | None:
        """Return the owner's key, None when destroyed; the lock is held."""
        cached = self._cached.get(owner)
        if cached is not None:
            self._cached.move_to_end(owner)
            return cached
        row = self._db.execute("SELECT wrapped FROM data_keys WHERE user_id=?", (owner,)).fetchone()
        if row is None and not or_new:
            raise DataKeyMissingError(owner)
        if row is not None and row[0] is None:
            return None
        data_key = (
            self._make(owner) if row is None else _decrypt(self._master, row[0], owner.encode())
        )
        key = AESGCM(data_key)
        self._cached[owner] = key
        if len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)
        return key

    def _make(self, owner: str) -> bytes:
        data_key = AESGCM.generate_key(KEY_BITS)
        wrapped = _encrypt(self._master, data_key, owner.encode())
        self._db.execute("INSERT INTO data_keys VALUES (?, ?)", (owner, wrapped))
        return data_key

    def _require_same_master(self) -> None:
        row = self._db.execute("SELECT proof FROM master").fetchone()
        if row is None:
            self._db.execute("INSERT INTO master VALUES (?)", (_encrypt(self._master, b"", b""),))
            return
        try:
            _decrypt(self._master, row[0], b"")
        except InvalidTag:
            raise MasterKeyMismatchError from None


def _encrypt(key: AESGCM, plain: bytes, context: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + key.encrypt(nonce, plain, context)


def _decrypt(key: AESGCM, sealed: bytes, context: bytes) -> bytes:
    return key.decrypt(sealed[:NONCE], sealed[NONCE:], context)
