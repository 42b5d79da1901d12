"""SQLite files beside the event stores, and as durable: what is committed survives a power cut."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def open_file(
    path: Path, *, lock_timeout: float = 5.0, exclusive: bool = False
) -> sqlite3.Connection:
    """Open a file with WAL and synchronous=FULL, its directory made if need be.

    Statements outside a `transaction` are committed one by one. The connection may
    be used from any thread, by one at a time: whoever shares it brings a lock.
    `lock_timeout` is how long to wait for another process, in seconds; `exclusive`
    lets no other in. Raises sqlite3.OperationalError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=lock_timeout, isolation_level=None, check_same_thread=False
    )
    try:
        if exclusive:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all that is written inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk ends the transaction by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
