"""What only SQLite promises: one process, a file made for power cuts, an orderly close."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from eventsourcing.persistence import ConnectionPoolClosedError

from chargekey_common.eventstore.recorder import StoreUnusableError
from chargekey_common.eventstore.store import Context, EventStore

from .shelves import Shelves

OpenStore = Callable[..., EventStore]


def ask(command_id: str) -> Context:
    return Context(actor="administrator:local", command_id=command_id)


def test_commits_are_made_for_a_power_cut(open_sqlite_store: OpenStore) -> None:
    with open_sqlite_store().recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone()[0] == "wal"
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == 2  # FULL


def test_closing_waits_for_what_still_reads_and_lets_nobody_in(
    open_sqlite_store: OpenStore,
) -> None:
    """A cancelled task leaves its thread behind; SQLite would crash the process."""
    store = open_sqlite_store()
    reading, go_on = threading.Event(), threading.Event()
    counted: list[int] = []

    def read() -> None:
        with store.recorder.datastore.transaction(commit=False) as cursor:
            reading.set()
            go_on.wait(20)
            cursor.execute("SELECT count(*) FROM receipts")
            counted.append(cursor.fetchone()[0])

    reader = threading.Thread(target=read)
    closer = threading.Thread(target=store.close)
    reader.start()
    reading.wait(20)
    closer.start()
    while not refuses(store):
        pass
    assert closer.is_alive()
    go_on.set()
    for thread in (reader, closer):
        thread.join(20)
    assert counted == [0]


def refuses(store: EventStore) -> bool:
    try:
        store.recorder.end()
    except ConnectionPoolClosedError:
        return True
    return False


def test_a_vacuum_moves_no_event(open_sqlite_store: OpenStore, tmp_path: Path) -> None:
    shelves = Shelves(open_sqlite_store())
    for number in range(3):
        shelves.label(ask(str(number)), shelf_id=str(number), label="x")
    before = shelves.store.read(0, 10)
    with sqlite3.connect(tmp_path / "shelves.db", isolation_level=None) as other:
        other.execute("VACUUM")
    other.close()
    assert shelves.store.read(0, 10) == before


OPEN = """
import sys
from pathlib import Path
from chargekey_common.eventstore.store import EventStore
EventStore("shelves", Path(sys.argv[1]), []).close()
"""


def test_a_second_process_is_refused_while_the_first_has_the_store(
    open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    def open_elsewhere() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", OPEN, tmp_path / "shelves.db"],
            capture_output=True,
            text=True,
            check=False,
        )

    store = open_sqlite_store()
    assert "StoreInUseError" in open_elsewhere().stderr
    store.close()
    assert open_elsewhere().returncode == 0


def test_a_file_that_is_no_store_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "shelves.db"
    file.write_bytes(b"no database at all, but long enough to be taken for one" * 40)
    before = file.read_bytes()
    with pytest.raises(StoreUnusableError, match=r"shelves\.db cannot be used: "):
        EventStore("shelves", file, [])
    assert file.read_bytes() == before


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusableError, match="cannot be used: "):
        EventStore("shelves", tmp_path / "file" / "shelves.db", [])
