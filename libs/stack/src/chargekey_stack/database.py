"""`up --store`: PostgreSQL in place of files, remembered by the data directory.

The URL stands in `secrets/postgres`, where services read it. A database serves one
system at a time: a lock in it tells the second one so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import (
    DatabaseInUseError,
    DatabaseUnusableError,
    StoreElsewhereError,
    StoreMalformedError,
)

SCHEMES = ("postgresql://", "postgres://")
CONNECT_TIMEOUT = 5
# What tells one database from another; a password may change.
_PLACE = ("host", "hostaddr", "port", "dbname")


@contextlib.contextmanager
def database(data: DataDirectory, url: str | None) -> Iterator[Path | None]:
    """Hold the database and yield the file with its URL, or None where files are used.

    `url` None stands for what the data directory was started with before. Raises
    StoreMalformedError, StoreElsewhereError, DatabaseUnusableError or
    DatabaseInUseError.
    """
    remembered = data.postgres.read_text().strip() if data.postgres.exists() else None
    if url is None and remembered is None:
        yield None
        return
    if url is not None:
        _check(data, url, remembered)
    with _held(url or remembered or ""):
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
    return tuple(parts.get(name) for name in _PLACE)


@contextlib.contextmanager
def _held(url: str) -> Iterator[None]:
    try:
        session = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT)
    except psycopg.OperationalError as error:
        raise DatabaseUnusableError(str(error)) from None
    with session:
        free = session.execute("SELECT pg_try_advisory_lock(hashtextextended('chargekey', 0))")
        if free.fetchone() != (True,):
            raise DatabaseInUseError
        yield
