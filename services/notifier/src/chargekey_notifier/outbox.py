"""Mails to be sent: a durable queue in SQLite, written with the position it follows from.

No names, no addresses: who is written to is a role, what about are opaque ids. What
was sent stays as a row, because it is what keeps a refilled bus from sending again.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from chargekey_common import sqlite_file
from chargekey_common.eventstore.recorder import Handled, StoreInUseError
from chargekey_common.eventstore.sqlite import HANDLED
from chargekey_common.positions import Position

ADMINISTRATOR = "administrator"

_MAILS = """
    CREATE TABLE IF NOT EXISTS mails (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL,
        recipient TEXT NOT NULL,
        kind TEXT NOT NULL,
        user_id TEXT NOT NULL,
        installation_id TEXT,
        at INTEGER NOT NULL,
        outcome TEXT,
        settled_at INTEGER,
        UNIQUE (event_id, recipient))"""
_WAITING = "CREATE INDEX IF NOT EXISTS waiting ON mails (number) WHERE outcome IS NULL"
_FIRST = """
    SELECT event_id, recipient, kind, user_id, installation_id, at FROM mails
    WHERE outcome IS NULL ORDER BY number LIMIT 1"""


class Mail(msgspec.Struct, frozen=True):
    """What to tell whom: which event of `kind`, when (ns), about which user and where.

    Without an installation it is about the whole platform.
    """

    event_id: str
    recipient: str
    kind: Literal["user_blocked"]
    user_id: str
    installation_id: str | None
    at: int


class Outbox:
    """Safe from any thread; blocking. Raises StoreInUseError when another process has the file."""

    def __init__(self, path: Path) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        try:
            # Two senders of one queue would send everything twice.
            self._connection = sqlite_file.open_file(path, lock_timeout=0, exclusive=True)
            for statement in (_MAILS, _WAITING, HANDLED):
                self._connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise StoreInUseError(path) from error
            raise

    def close(self) -> None:
        """Close the file, once what runs in it has ended."""
        with self._lock:
            self._connection.close()

    def on_added(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the adding thread, after each mail that was added."""
        self._listeners.append(listener)

    def add(self, mail: Mail, handled: Handled) -> None:
        """Queue the mail together with the position handled; neither comes twice.

        The position tells what was handled in this life of the other service's
        store; the event's id tells it under every other generation too.
        """
        position = handled.position
        with self._lock, sqlite_file.transaction(self._connection):
            last = self._handled(handled.reaction)
            if last is not None and last.includes(position):
                return
            self._connection.execute(
                "INSERT INTO mails (event_id, recipient, kind, user_id, installation_id, at)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                msgspec.structs.astuple(mail),
            )
            self._connection.execute(
                "INSERT OR REPLACE INTO handled VALUES (?, ?, ?, ?)",
                (handled.reaction, position.service, position.generation, position.number),
            )
        for listener in self._listeners:
            listener()

    def first_waiting(self) -> Mail | None:
        """Return the oldest mail that is neither sent nor dropped."""
        with self._lock:
            row = self._connection.execute(_FIRST).fetchone()
        return None if row is None else Mail(*row)

    def waiting(self) -> int:
        """Return how many mails wait."""
        with self._lock:
            counted = self._connection.execute("SELECT count(*) FROM mails WHERE outcome IS NULL")
            return int(counted.fetchone()[0])

    def settle(self, mail: Mail, outcome: str) -> None:
        """Mark the mail: `sent`, or why it was dropped; it never comes first again."""
        with self._lock:
            self._connection.execute(
                "UPDATE mails SET outcome = ?, settled_at = ? WHERE event_id = ? AND recipient = ?",
                (outcome, time.time_ns(), mail.event_id, mail.recipient),
            )

    def _handled(self, reaction: str) -> Position | None:
        row = self._connection.execute(
            "SELECT service, generation, number FROM handled WHERE reaction = ?", (reaction,)
        ).fetchone()
        return None if row is None else Position(*row)
