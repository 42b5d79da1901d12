"""The past in SQLite: sessions and refusals, and how far the stream has been read.

Nothing here is an original: without the file, or with one of another schema, the
stream is read from its beginning and makes the same rows again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, assert_never

import msgspec

from chargekey_common import sqlite_file
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_history.errors import HistoryUnavailableError

# Another number makes every file be filled anew; change it with the tables.
SCHEMA = 1
_MOST_WATT_HOURS = 2**63 - 1  # what the protocol carries

_TABLES = """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        transaction_id INTEGER NOT NULL,
        installation_id TEXT NOT NULL,
        charger_id TEXT NOT NULL,
        connector INTEGER NOT NULL,
        user_id TEXT,
        identification_id TEXT,
        reason TEXT,
        started_at INTEGER,
        meter_start INTEGER,
        end_reason TEXT,
        ended_at INTEGER,
        meter_stop INTEGER) WITHOUT ROWID;
    CREATE INDEX sessions_by_time ON sessions (started_at);
    CREATE INDEX sessions_of_installation ON sessions (installation_id, started_at);
    CREATE INDEX sessions_of_charger ON sessions (charger_id, started_at);
    CREATE INDEX sessions_of_user ON sessions (user_id, started_at);
    CREATE TABLE refusals (
        id TEXT PRIMARY KEY,
        installation_id TEXT NOT NULL,
        charger_id TEXT NOT NULL,
        user_id TEXT,
        identification_id TEXT,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        stage TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX refusals_by_time ON refusals (at);
    CREATE INDEX refusals_of_installation ON refusals (installation_id, at);
    CREATE INDEX refusals_of_charger ON refusals (charger_id, at);
    CREATE INDEX refusals_of_user ON refusals (user_id, at);
    CREATE TABLE bookmark (made TEXT, sequence INTEGER NOT NULL);
    INSERT INTO bookmark VALUES (NULL, 0);
"""

# What was written first stays: a start or an end told again, or told by a stream
# made again with other sequences, is the same fact.
_STARTED = """
    INSERT INTO sessions (id, transaction_id, installation_id, charger_id, connector,
        user_id, identification_id, reason, started_at, meter_start)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET transaction_id = excluded.transaction_id,
        user_id = excluded.user_id, identification_id = excluded.identification_id,
        reason = excluded.reason, started_at = excluded.started_at,
        meter_start = excluded.meter_start
    WHERE started_at IS NULL"""
_ENDED = """
    INSERT INTO sessions (id, transaction_id, installation_id, charger_id, connector,
        user_id, identification_id, end_reason, ended_at, meter_stop)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET end_reason = excluded.end_reason,
        ended_at = excluded.ended_at, meter_stop = excluded.meter_stop
    WHERE ended_at IS NULL"""
_REFUSED = "INSERT OR IGNORE INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

# A session whose start is not known (yet) cannot be told about: neither since when nor why.
_SESSIONS = """
    SELECT id, transaction_id, installation_id, charger_id, connector, user_id,
        identification_id, reason, started_at, end_reason, ended_at, meter_start, meter_stop
    FROM sessions WHERE started_at IS NOT NULL {narrowed}
    ORDER BY started_at DESC, transaction_id DESC, id LIMIT ?"""
_REFUSALS = "SELECT * FROM refusals WHERE TRUE {narrowed} ORDER BY at DESC, id LIMIT ?"
_INSTALLATIONS_OF_CHARGER = """
    SELECT installation_id FROM sessions WHERE charger_id = ?1
    UNION SELECT installation_id FROM refusals WHERE charger_id = ?1 LIMIT 2"""

Event: TypeAlias = SessionStarted | SessionEnded | StartRefused | AuthorizationRefused


class Fact(msgspec.Struct, frozen=True):
    """An event of the stream: its CloudEvents id, its time (ns), its sequence."""

    event: Event
    id: str
    at: int
    sequence: int


class Bookmark(msgspec.Struct, frozen=True):
    """How far which stream has been read; `made` tells it from another of its name."""

    made: str | None = None
    sequence: int = 0


class Session(msgspec.Struct, frozen=True):
    """A session whose start is known. Times in nanoseconds since the epoch."""

    id: str
    transaction_id: int
    installation_id: str
    charger_id: str
    connector: int
    user_id: str | None
    identification_id: str | None
    reason: str
    started_at: int
    end_reason: str | None
    ended_at: int | None
    meter_start: int
    meter_stop: int | None

    @property
    def energy_wh(self) -> int | None:
        """What was delivered; None while it runs. A meter that ran backwards delivered nothing."""
        if self.meter_stop is None:
            return None
        return min(max(self.meter_stop - self.meter_start, 0), _MOST_WATT_HOURS)


class Refusal(msgspec.Struct, frozen=True):
    """A tap, or a start, that was refused; `at` by the gateway's clock (ns)."""

    id: str
    installation_id: str
    charger_id: str
    user_id: str | None
    identification_id: str | None
    status: str
    reason: str
    at: int
    stage: str


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries, newest first: those that match everything given, `limit` at most."""

    installation_id: str = ""
    charger_id: str = ""
    user_id: str = ""
    running_only: bool = False
    limit: int


class Past:
    """Safe from any thread; blocking. Reads never wait for writes.

    `lock_timeout` is how long to wait for another process, in seconds.
    """

    def __init__(self, path: Path, *, lock_timeout: float = 5.0) -> None:
        self._writer = sqlite_file.open_file(path, lock_timeout=lock_timeout)
        self._writing = threading.Lock()
        self._make_tables()
        self._reader = sqlite_file.open_file(path, lock_timeout=lock_timeout)
        self._reading = threading.Lock()

    def close(self) -> None:
        """Close the file, once what runs in it has ended."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def bookmark(self) -> Bookmark:
        """Return how far the rows go."""
        return Bookmark(*self._select("SELECT made, sequence FROM bookmark", ())[0])

    def apply(self, facts: Sequence[Fact], bookmark: Bookmark) -> None:
        """Write what happened and how far that is, all or nothing.

        Raises sqlite3.OperationalError while the file cannot be written.
        """
        with self._writing, sqlite_file.transaction(self._writer):
            for fact in facts:
                _apply(self._writer, fact)
            self._writer.execute(
                "UPDATE bookmark SET made = ?, sequence = ?", (bookmark.made, bookmark.sequence)
            )

    def sessions(self, wanted: Filter) -> Sequence[Session]:
        """Return sessions; raises HistoryUnavailableError."""
        return [Session(*row) for row in self._find(_SESSIONS, wanted)]

    def refusals(self, wanted: Filter) -> Sequence[Refusal]:
        """Return refusals; raises HistoryUnavailableError."""
        return [Refusal(*row) for row in self._find(_REFUSALS, wanted)]

    def installation_of(self, charger_id: str) -> str | None:
        """Return the one installation the charger's entries are of; None for none or several.

        A charger that moved has entries of both sites, and nobody may see another
        site's through it (R11). Raises HistoryUnavailableError.
        """
        rows = self._select(_INSTALLATIONS_OF_CHARGER, (charger_id,))
        return str(rows[0][0]) if len(rows) == 1 else None

    def _find(self, select: str, wanted: Filter) -> Sequence[Any]:
        equal = {
            "installation_id": wanted.installation_id,
            "charger_id": wanted.charger_id,
            "user_id": wanted.user_id,
        }
        conditions = [f"AND {column} = ?" for column, value in equal.items() if value]
        if wanted.running_only:
            conditions.append("AND ended_at IS NULL")
        parameters = (*filter(None, equal.values()), wanted.limit)
        return self._select(select.format(narrowed=" ".join(conditions)), parameters)

    def _select(self, statement: str, parameters: tuple[object, ...]) -> Sequence[Any]:
        try:
            with self._reading:
                return self._reader.execute(statement, parameters).fetchall()
        except sqlite3.OperationalError as error:
            raise HistoryUnavailableError from error

    def _make_tables(self) -> None:
        with sqlite_file.transaction(self._writer):
            (schema,) = self._writer.execute("PRAGMA user_version").fetchone()
            if schema == SCHEMA:
                return
            for table in ("sessions", "refusals", "bookmark"):
                self._writer.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _TABLES.split(";"):
                self._writer.execute(statement)
            self._writer.execute(f"PRAGMA user_version = {SCHEMA}")


def _apply(connection: sqlite3.Connection, fact: Fact) -> None:
    event = fact.event
    match event:
        case SessionStarted():
            connection.execute(
                _STARTED,
                (
                    event.session_id,
                    fact.sequence,
                    event.installation_id,
                    event.charger_id,
                    event.connector,
                    event.user_id,
                    event.identification_id,
                    event.reason,
                    event.started_at,
                    event.meter_start,
                ),
            )
        case SessionEnded():
            connection.execute(
                _ENDED,
                (
                    event.session_id,
                    event.transaction_id,
                    event.installation_id,
                    event.charger_id,
                    event.connector,
                    event.user_id,
                    event.identification_id,
                    event.reason,
                    event.ended_at,
                    event.meter_stop,
                ),
            )
        case StartRefused():
            connection.execute(_REFUSED, _refusal(fact.id, event, fact.at, "start"))
        case AuthorizationRefused():
            connection.execute(_REFUSED, _refusal(fact.id, event, fact.at, "authorize"))
        case _:
            assert_never(event)


def _refusal(
    event_id: str, event: StartRefused | AuthorizationRefused, at: int, stage: str
) -> tuple[object, ...]:
    return (
        event_id,
        event.installation_id,
        event.charger_id,
        event.user_id,
        event.identification_id,
        event.status,
        event.reason,
        at,
        stage,
    )
