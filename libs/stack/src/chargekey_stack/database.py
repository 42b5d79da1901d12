"""`up --store`: PostgreSQL in place of files, remembered by the data directory.

The URL stands in `secrets/postgres`, where services read it. A database serves one
system at a time: a lock in it tells the second one so. It belongs to one data
directory, whose `secrets/system_id` it keeps in the table `chargekey.system`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from chargekey_common.postgres import Postgres
from chargekey_stack.answers import Tell, unheard
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import (
    DatabaseForeignError,
    DatabaseInUseError,
    DatabaseUnusableError,
    StoreElsewhereError,
    StoreMalformedError,
)

SCHEMES = ("postgresql://", "postgres://")
# Seconds between looks at the lock, and at the end for the thread that looks.
LOOK_INTERVAL = 3.0
JOIN = 5
LAST_PORT = 65_535
# What tells one database from another; a password may change.
_PLACE = ("host", "hostaddr", "port", "dbname")


@contextlib.contextmanager
def database(data: DataDirectory, url: str | None, tell: Tell = unheard) -> Iterator[Path | None]:
    """Hold the database and yield the file with its URL, or None where files are used.

    `url` None stands for what the data directory was started with before. Raises
    StoreMalformedError, StoreElsewhereError, DatabaseUnusableError,
    DatabaseInUseError or DatabaseForeignError. A hold that a restart of the server
    has ended is taken again; `tell` hears of another system that was faster.
    """
    remembered = data.postgres.read_text().strip() if data.postgres.exists() else None
    if url is None and remembered is None:
        yield None
        return
    if url is not None:
        _check(data, url, remembered)
    with _held(url or remembered or "", data.token("system_id").read_text(), tell):
        if url is not None:
            data.remember_postgres(url)
        yield data.postgres


def _check(data: DataDirectory, url: str, remembered: str | None) -> None:
    place = _place(url)
    elsewhere = data.has_events() if remembered is None else _place(remembered) != place
    if elsewhere:
        raise StoreElsewhereError


def _place(url: str) -> tuple[object, ...]:
    if not url.startswith(SCHEMES):
        raise StoreMalformedError
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise StoreMalformedError from None
    host, ports = (str(parts.get(name) or "") for name in ("host", "port"))
    name = url.partition("://")[2].partition("/")[2].partition("?")[0]
    # Where a password is not escaped, its end stands in one of these, and errors repeat them.
    if "@" in host[1:] or "@" in name or not all(map(_is_port, ports.split(","))):
        raise StoreMalformedError
    return tuple(parts.get(name) for name in _PLACE)


def _is_port(port: str) -> bool:
    return not port or (port.isascii() and port.isdigit() and 0 < int(port) <= LAST_PORT)


@contextlib.contextmanager
def _held(url: str, system_id: str, tell: Tell) -> Iterator[None]:
    hold = _Hold(url)
    with contextlib.closing(hold):
        try:
            hold.take()
            hold.claim(system_id)
        except psycopg.Error as error:
            raise DatabaseUnusableError(str(error)) from None
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(hold, tell, ended), name="hold", daemon=True)
        watch.start()
        try:
            yield
        finally:
            ended.set()
            # A server that hangs may keep it.
            watch.join(JOIN)


def _watch(hold: _Hold, tell: Tell, ended: threading.Event) -> None:
    """Keep the hold; while the server is away there is nothing that anybody could hold."""
    taken = True
    while not ended.wait(LOOK_INTERVAL):
        was_taken = taken
        with contextlib.suppress(psycopg.Error):
            taken = hold.lasts() or hold.take()
        if was_taken and not taken:
            with contextlib.suppress(OSError):  # whoever read it is gone
                tell(f"The database was away. {DatabaseInUseError.sentence}")


class _Hold:
    """The session that has the database's lock, for one thread at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: psycopg.Connection | None = None

    def take(self) -> bool:
        """Open a session anew; return whether it got the lock. Raises psycopg.Error."""
        self.close()
        session = Postgres(self._url, "chargekey").connect()
        self._session = session
        taken = session.execute("SELECT pg_try_advisory_lock(hashtextextended('chargekey', 0))")
        if taken.fetchone() == (True,):
            return True
        self.close()
        return False

    def lasts(self) -> bool:
        """Return whether the session that got the lock is still there."""
        if self._session is None:
            return False
        try:
            self._session.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def claim(self, system_id: str) -> None:
        """Make the database this system's; another's raises DatabaseForeignError.

        Raises DatabaseInUseError where the lock is another's, and psycopg.Error.
        """
        session = self._session
        if session is None:
            raise DatabaseInUseError
        with session.transaction():
            if session.execute("SELECT to_regclass('chargekey.system')").fetchone() == (None,):
                session.execute("CREATE SCHEMA IF NOT EXISTS chargekey")
                session.execute("CREATE TABLE chargekey.system (id text NOT NULL)")
                session.execute("INSERT INTO chargekey.system VALUES (%s)", [system_id])
            owner = session.execute("SELECT id FROM chargekey.system").fetchone()
        if owner != (system_id,):
            raise DatabaseForeignError

    def close(self) -> None:
        """End the session, and the lock with it."""
        if self._session is not None:
            self._session.close()
            self._session = None
