"""SQLite behind the event store: durable, one writer process, receipts beside the events.

WAL with synchronous=FULL: what is committed survives a power cut. The rows that
belong to a save (its receipt, the position a reaction has handled) are written
in the transaction of its events.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, LiteralString, cast

from eventsourcing.persistence import (
    ConnectionPoolClosedError,
    ConnectionUnavailableError,
    DatabaseError,
    IntegrityError,
    InterfaceError,
    Notification,
    OperationalError,
    PersistenceError,
    StoredEvent,
)
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

from chargekey_common.eventstore import quarantine
from chargekey_common.eventstore.recorder import (
    NOTHING,
    Alongside,
    Handled,
    Receipt,
    Recorder,
    StoreInUseError,
    StoreUnusableError,
)
from chargekey_common.positions import Position

RECEIPTS = """
    CREATE TABLE IF NOT EXISTS receipts (
        command_id TEXT PRIMARY KEY,
        command TEXT NOT NULL,
        actor TEXT NOT NULL,
        answer BLOB NOT NULL,
        number INTEGER NOT NULL) WITHOUT ROWID"""
HANDLED = """
    CREATE TABLE IF NOT EXISTS handled (
        reaction TEXT PRIMARY KEY,
        service TEXT NOT NULL,
        generation TEXT NOT NULL,
        number INTEGER NOT NULL) WITHOUT ROWID"""
GENERATION = "CREATE TABLE IF NOT EXISTS generation (name TEXT NOT NULL)"


# Connections, and seconds that somebody waits for one.
MOST_CONNECTIONS = 15
CONNECTION_WAIT = 5.0
# Seconds for what still runs when a store is closed.
CLOSE_TIMEOUT = 10.0


class _Datastore(SQLiteDatastore):
    """The library's, with connections that are durable and, at its end, not closed under a user."""

    def __init__(self, path: Path, lock_timeout: int) -> None:
        self.single_row_tracking = True
        self.originator_id_type = "text"
        self._path = path
        self._lock_timeout = lock_timeout
        self._free: list[sqlite3.Connection] = []
        self._in_use = 0
        self._closing = False
        self._returned = threading.Condition()
        # SQLite has those who write wait for each other by looking again and again.
        self._writing = threading.Lock()

    @contextlib.contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        """Give a cursor for what is committed together, or without `commit` for questions."""
        if commit and not self._writing.acquire(timeout=CONNECTION_WAIT):
            raise ConnectionUnavailableError
        try:
            connection = self._take()
            cursor = connection.cursor()
            try:
                if commit:
                    cursor.execute("BEGIN IMMEDIATE")
                # It has what the library uses of its own.
                yield cast("SQLiteCursor", cursor)
                if commit:
                    cursor.execute("COMMIT")
            finally:
                cursor.close()
                self._give_back(connection)
        except sqlite3.Error as error:
            raise _named(error) from error
        finally:
            if commit:
                self._writing.release()

    def close(self) -> None:
        """Close when the last connection is back.

        SQLite crashes the process when one is closed in the middle of a statement. A
        thread that does not end in time keeps its connection until the process ends.
        """
        with self._returned:
            self._closing = True
            self._returned.wait_for(lambda: not self._in_use, timeout=CLOSE_TIMEOUT)
            while self._free:
                self._free.pop().close()

    def _take(self) -> sqlite3.Connection:
        with self._returned:
            if not self._returned.wait_for(self._has_room, timeout=CONNECTION_WAIT):
                raise ConnectionUnavailableError
            if self._closing:
                raise ConnectionPoolClosedError
            connection = self._free.pop() if self._free else self._connect()
            self._in_use += 1
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.rollback()
        finally:
            with self._returned:
                self._in_use -= 1
                self._free.append(connection)
                self._returned.notify_all()

    def _has_room(self) -> bool:
        return self._closing or self._in_use < MOST_CONNECTIONS

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=self._lock_timeout,
            isolation_level=None,  # nothing begins by itself
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        except BaseException:
            connection.close()
            raise
        connection.row_factory = sqlite3.Row
        return connection


def _named(error: sqlite3.Error) -> PersistenceError:
    """Give an error of SQLite the library's name."""
    match error:
        case sqlite3.IntegrityError():
            return IntegrityError(error)
        case sqlite3.OperationalError():
            return OperationalError(error)
        case sqlite3.DatabaseError():
            return DatabaseError(error)
        case _:
            return InterfaceError(error)


class SQLiteRecorder(SQLiteApplicationRecorder, Recorder):
    """The recorder of one service in one file.

    Raises StoreInUseError when another process holds the file, StoreUnusableError when
    it cannot be opened or is something else. `generation` names this life of the store:
    16 hex digits, new after a restore.
    """

    def __init__(self, path: Path, *, lock_timeout: int = 5) -> None:
        with contextlib.ExitStack() as opened:
            try:
                self._open(path, lock_timeout, opened)
            except (OSError, sqlite3.Error, InterfaceError, DatabaseError) as error:
                raise StoreUnusableError(path, str(error)) from error
            opened.pop_all()

    def _open(self, path: Path, lock_timeout: int, opened: contextlib.ExitStack) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = opened.enter_context(path.with_suffix(".lock").open("w"))
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUseError(path) from None
        super().__init__(_Datastore(path, lock_timeout))
        opened.callback(self.datastore.close)
        self.insert_events_statement = (
            f"INSERT INTO {self.events_table_name}"  # noqa: S608 - a constant of ours
            " (originator_id, originator_version, topic, state) VALUES (?,?,?,?)"
        )
        self.create_table()
        self.generation = self._generation()

    def construct_create_table_statements(self) -> list[str]:
        """Return the tables; the event's number is a real key, so VACUUM never renumbers it."""
        events = f"""
            CREATE TABLE IF NOT EXISTS {self.events_table_name} (
                rowid INTEGER PRIMARY KEY AUTOINCREMENT,
                originator_id TEXT NOT NULL,
                originator_version INTEGER NOT NULL,
                topic TEXT NOT NULL,
                state BLOB NOT NULL,
                UNIQUE (originator_id, originator_version))"""
        set_aside = quarantine.MAKE.format(table=quarantine.TABLE, bytes="BLOB")
        return [events, RECEIPTS, HANDLED, GENERATION, set_aside]

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        *,
        alongside: Alongside = NOTHING,
        **_: Any,  # noqa: ANN401 - the library passes what it does not use itself
    ) -> Sequence[int] | None:
        numbers = super()._insert_events(c, stored_events)
        receipt, handled = alongside.receipt, alongside.handled
        if receipt is not None:
            number = numbers[-1] if numbers else self._max_notification_id(c) or 0
            c.execute(
                "INSERT INTO receipts VALUES (?,?,?,?,?)",
                (receipt.command_id, receipt.command, receipt.actor, receipt.answer, number),
            )
        if handled is not None:
            _insert_handled(c, handled)
        if alongside.set_aside is not None:
            quarantine.put_in(functools.partial(_execute, c), alongside.set_aside)
        return numbers

    def receipt(self, command_id: str) -> Receipt | None:
        """Return what the command answered, if it was ever done."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT * FROM receipts WHERE command_id=?", (command_id,))
            row = cursor.fetchone()
        return None if row is None else Receipt(*row)

    def handled(self, reaction: str) -> Position | None:
        """Return how far the reaction has come, or None before its first event."""
        with self.datastore.transaction(commit=False) as cursor:
            return _handled(cursor, reaction)

    def ask_quarantine(
        self, statement: LiteralString, values: Sequence[Any]
    ) -> Sequence[Sequence[Any]]:
        """Read what is set aside, outside of any save; see `quarantine.Execute`."""
        with self.datastore.transaction(commit=False) as cursor:
            return _execute(cursor, statement, values)

    def events_of(self, aggregate_id: str) -> Sequence[StoredEvent]:
        """Return an aggregate's events, in their order."""
        return self.select_events(aggregate_id)

    def rows_of(self, numbers: Sequence[int]) -> Sequence[Notification]:
        """Return the events of these numbers, in the order of the log; none for an unknown one."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                "SELECT rowid AS id, originator_id, originator_version, topic, state"  # noqa: S608 - a constant of ours
                f" FROM {self.events_table_name}"
                " WHERE rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid",
                # As one value: of more than some thousand there may be too many.
                (json.dumps(list(numbers)),),
            )
            return [Notification(**row) for row in map(dict, cursor.fetchall())]

    def end(self) -> int:
        """Return the number of the last event, 0 in an empty store."""
        return self.max_notification_id() or 0

    def begin_new_generation(self) -> str:
        """Declare this store another life than the one its stream was filled from."""
        self.generation = secrets.token_hex(8)
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("DELETE FROM generation")
            cursor.execute("INSERT INTO generation VALUES (?)", (self.generation,))
        return self.generation

    def _generation(self) -> str:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT name FROM generation")
            row = cursor.fetchone()
        return self.begin_new_generation() if row is None else str(row[0])

    def watch(self, saved: Callable[[], None]) -> None:
        """Do nothing: no other process saves here."""

    def close(self) -> None:
        """Close every connection and let another process have the file."""
        self.datastore.close()
        self._lock.close()


def _execute(
    cursor: SQLiteCursor, statement: LiteralString, values: Sequence[Any]
) -> Sequence[Sequence[Any]]:
    cursor.execute(statement.format(table=quarantine.TABLE), values)
    return [tuple(row) for row in cursor.fetchall()]


def _insert_handled(cursor: SQLiteCursor, handled: Handled) -> None:
    if handled.again is not None:
        execute = functools.partial(_execute, cursor)
        if not quarantine.take_out(execute, handled.reaction, handled.again):
            raise IntegrityError(handled.again)
        return
    if _handled(cursor, handled.reaction) != handled.after:
        raise IntegrityError(handled.reaction)
    position = handled.position
    cursor.execute(
        "INSERT OR REPLACE INTO handled VALUES (?,?,?,?)",
        (handled.reaction, position.service, position.generation, position.number),
    )


def _handled(cursor: SQLiteCursor, reaction: str) -> Position | None:
    cursor.execute("SELECT service, generation, number FROM handled WHERE reaction=?", (reaction,))
    row = cursor.fetchone()
    return None if row is None else Position(*row)
