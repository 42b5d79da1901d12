"""Commands a second, from the application's method to what is durable, against bare inserts.

The floor inserts one row a commit into a table like the store's, with its key and its index, as
durably: on SQLite in WAL with synchronous=FULL, on PostgreSQL by four writers. A command finds
out whether it was done before, decides, and commits its event together with its receipt.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Barrier
from time import perf_counter

import psycopg

from benchmarks.figures import Figure, at_least, compared, in_turn
from chargekey_access.application.installations import Installations
from chargekey_access.domain.events import EVENTS
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.postgres import Postgres
from chargekey_common.testing.postgres_server import running_postgres

IN_A_FILE = 1_500
WRITERS = 4
OF_A_WRITER = 300
PATIENCE = 60.0  # seconds for all writers to begin
SOME = b"x" * 250  # as long as what is stored of an installation

_ROWS = """CREATE TABLE raw_events (
    originator_id text NOT NULL, originator_version {number} NOT NULL,
    topic text NOT NULL, state {bytes} NOT NULL, {key}
    UNIQUE (originator_id, originator_version))"""
_INSERT = "INSERT INTO raw_events (originator_id, originator_version, topic, state) VALUES "


def figures() -> Iterator[Figure]:
    """Measure commands that make something, and such that read, decide and save."""
    with tempfile.TemporaryDirectory() as directory:
        yield from _in_a_file(Path(directory))
    yield from _on_postgresql()


def _in_a_file(directory: Path) -> Iterator[Figure]:
    with (
        closing(sqlite3.connect(directory / "raw.db", isolation_level=None)) as raw,
        closing(EventStore("access", directory / "access.db", EVENTS)) as store,
    ):
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        key = "rowid INTEGER PRIMARY KEY AUTOINCREMENT,"
        raw.execute(_ROWS.format(number="integer", bytes="blob", key=key))
        installations = Installations(store)

        def insert() -> None:
            raw.execute(f"{_INSERT} (?, ?, ?, ?)", _row())

        for name, goal, commands in (
            ("create", 0.65, _creating),
            ("read, decide, save", 0.45, _renaming),
        ):
            yield compared(
                f"commands on SQLite: {name}",
                in_turn(
                    partial(_rate, partial(commands, installations, IN_A_FILE)),
                    partial(_rate, lambda: [insert] * IN_A_FILE),
                ),
                unit="1/s",
                against="sqlite3, a row a commit",
                goal=at_least(goal),
            )


def _on_postgresql() -> Iterator[Figure]:
    with running_postgres() as url:
        yield from _by_several_writers(Postgres(url, "access"))


def _by_several_writers(where: Postgres) -> Iterator[Figure]:
    PostgresRecorder.migrate(where)
    with where.connect() as connection:
        connection.execute(_ROWS.format(number="bigint", bytes="bytea", key="id bigserial,"))
        connection.execute("CREATE UNIQUE INDEX ON raw_events (id)")
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(
            WRITERS, context, initializer=_begin, initargs=(where, manager.Barrier(WRITERS))
        ) as writers,
    ):

        def rate(work: Callable[[], tuple[float, float]]) -> float:
            asked = [writers.submit(work) for _ in range(WRITERS)]
            times = [each.result() for each in asked]
            took = max(end for _, end in times) - min(begin for begin, _ in times)
            return WRITERS * OF_A_WRITER / took

        rate(_create)  # what is prepared for the first commands counts for none
        rate(_insert)
        for name, work in (("create", _create), ("read, decide, save", _rename)):
            yield compared(
                f"commands on PostgreSQL, {WRITERS} writers: {name}",
                in_turn(partial(rate, work), partial(rate, _insert)),
                unit="1/s",
                against="psycopg, a row a commit",
                goal=at_least(0.3),
            )


def _creating(installations: Installations, number: int) -> Sequence[Callable[[], object]]:
    return [
        partial(installations.create_installation, _context(), name=f"Site {each}", time_zone="UTC")
        for each in range(number)
    ]


def _renaming(installations: Installations, number: int) -> Sequence[Callable[[], object]]:
    sites = [command().result for command in _creating(installations, number)]  # type: ignore[attr-defined] # of what creates
    return [
        partial(installations.rename_installation, _context(), installation_id=site, name="Another")
        for site in sites
    ]


def _context() -> Context:
    return Context(actor="administrator:local", command_id=str(uuid.uuid4()))


def _row() -> tuple[str, int, str, bytes]:
    return str(uuid.uuid4()), 1, "access.InstallationCreated", SOME


def _rate(prepare: Callable[[], Sequence[Callable[[], object]]]) -> float:
    begin, end, number = _timed(prepare())
    return number / (end - begin)


def _timed(work: Sequence[Callable[[], object]]) -> tuple[float, float, int]:
    begin = perf_counter()
    for each in work:
        each()
    return begin, perf_counter(), len(work)


# In a writer's process: what it writes with, and what has all begin at once.
_here: list[tuple[Installations, psycopg.Connection, Barrier]] = []


def _begin(where: Postgres, together: Barrier) -> None:
    store = EventStore("access", where, EVENTS)
    _here.append((Installations(store), where.connect(), together))


def _create() -> tuple[float, float]:
    installations, _, _ = _here[0]
    return _all_at_once(_creating(installations, OF_A_WRITER))


def _rename() -> tuple[float, float]:
    installations, _, _ = _here[0]
    return _all_at_once(_renaming(installations, OF_A_WRITER))


def _insert() -> tuple[float, float]:
    _, connection, _ = _here[0]

    def insert() -> None:
        connection.execute(f"{_INSERT} (%s, %s, %s, %s)", _row())

    return _all_at_once([insert] * OF_A_WRITER)


def _all_at_once(work: Sequence[Callable[[], object]]) -> tuple[float, float]:
    _, _, together = _here[0]
    together.wait(PATIENCE)
    begin, end, _ = _timed(work)
    return begin, end
