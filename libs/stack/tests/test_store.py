"""`chargekey up --store`: the same system with everything in PostgreSQL."""

from __future__ import annotations

import queue
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from chargekey_stack import database as store
from chargekey_stack.answers import unheard
from chargekey_stack.data_directory import VERSION, DataDirectory
from chargekey_stack.errors import StoreMalformedError

from .running_system import RunningSystem, at_last, refused, up

SCHEMAS = {"access", "chargekey", "history", "identity", "notifier"}

LOCK = "hashtextextended('chargekey', 0)"
HOLDERS_ENDED = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
WAITING = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """Yield the URL of a database that no system was in before."""
    name = f"chargekey_{secrets.token_hex(8)}"
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def a_pin_that_charges(system: RunningSystem) -> None:
    site = system.chargekey(
        "installation", "create", "--name", "Home", "--time-zone", "Europe/Oslo"
    )
    at = ["--installation", site["id"]]
    system.chargekey("charger", "add", *at, "--ocpp-identity", "CP-1")
    ada = system.chargekey(
        "user", "add-local", *at, "--first-name", "Ada", "--last-name", "Lovelace"
    )
    pin = system.chargekey(
        "identification", "add", "--user", ada["id"], "--type", "pin", "--code", "#2468"
    )
    since = ["--at-least", ada["access_position"], "--at-least", pin["position"]]
    assert decided(system, *since) == ("Accepted", "installation_permission")
    blocked = system.chargekey("user", "block", ada["id"])
    assert decided(system, "--at-least", blocked["position"]) == ("Blocked", "user_blocked")


def decided(system: RunningSystem, *since: str) -> tuple[str, str]:
    answer = system.chargekey("authorize", "--charger", "CP-1", "--code", "#2468", *since)
    return answer["status"], answer["reason"]


def test_everything_is_in_the_database_and_found_there_again(database: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data, tmp_path / "said", "--store", database, working_directory=tmp_path) as first:
        a_pin_that_charges(first)
        assert (
            refused("up", "--store", database, data=tmp_path / "other")["code"] == "database_in_use"
        )
        assert first.end(signal.SIGTERM) == 0
    # Its keys are not in the other directory, which does not remember it either.
    assert refused("up", "--store", database, data=tmp_path / "other")["code"] == "database_foreign"
    assert not (tmp_path / "other" / "secrets" / "postgres").exists()
    assert list(data.glob("*/*.db")) == []
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT DISTINCT schemaname FROM pg_stat_user_tables")
        assert {schema for (schema,) in found} == SCHEMAS
    # Named once, it is remembered.
    with up(data, tmp_path / "said", working_directory=tmp_path) as second:
        assert decided(second) == ("Blocked", "user_blocked")
        assert second.end(signal.SIGTERM) == 0
    elsewhere = database.replace("/chargekey_", "/another_")
    assert refused("up", "--store", elsewhere, data=data)["code"] == "store_elsewhere"


def test_events_in_files_are_not_left_behind(database: str, tmp_path: Path) -> None:
    used = tmp_path / "data"
    (used / "access").mkdir(parents=True)
    (used / "version").write_text(VERSION)
    (used / "access" / "access.db").touch()
    assert refused("up", "--store", database, data=used)["code"] == "store_elsewhere"


@pytest.mark.parametrize("url", ["", "mysql://host/database", "postgresql://%zz", "host=here"])
def test_what_is_no_url_of_postgresql_is_refused(url: str, tmp_path: Path) -> None:
    assert refused("up", "--store", url, data=tmp_path)["code"] == "store_malformed"


def test_a_database_that_does_not_answer_is_one_clear_error(tmp_path: Path) -> None:
    url = f"postgresql://user:hunter2@/database?host={tmp_path}"
    assert refused("up", "--store", url, data=tmp_path / "data")["code"] == "database_unusable"


@pytest.mark.parametrize(
    "password", ["se@cretpw", "a@b@cretpw", "se/cretpw", "12/cretpw", "70000/cretpw", "se?a@cretpw"]
)
def test_a_password_that_is_not_escaped_is_refused_and_not_repeated(
    password: str, tmp_path: Path
) -> None:
    url = f"postgresql://user:{password}@127.0.0.1/database"
    with (
        pytest.raises(StoreMalformedError, match="%40") as refused,
        store.database(DataDirectory(tmp_path), url, unheard),
    ):
        pass
    assert "cretpw" not in str(refused.value)


def test_a_hold_that_the_server_ended_is_taken_again_and_a_faster_system_told_of(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOK_INTERVAL", 0.01)
    data = DataDirectory(tmp_path)
    data.secrets.mkdir()
    told: queue.Queue[str] = queue.Queue()
    with (
        store.database(data, database, told.put),
        psycopg.connect(database, autocommit=True) as other,
        psycopg.connect(database, autocommit=True) as server,
        ThreadPoolExecutor() as pool,
    ):
        faster = pool.submit(other.execute, f"SELECT pg_advisory_lock({LOCK})")
        # It waits in front of everybody who comes later.
        at_last(lambda: server.execute(WAITING).fetchone() == (1,))
        server.execute(HOLDERS_ENDED)
        faster.result(30)
        assert "Another Chargekey" in told.get(timeout=30)
        other.execute(f"SELECT pg_advisory_unlock({LOCK})")
        deadline = time.monotonic() + 30
        while other.execute(f"SELECT pg_try_advisory_lock({LOCK})").fetchone() == (True,):
            other.execute(f"SELECT pg_advisory_unlock({LOCK})")
            assert time.monotonic() < deadline
    assert told.empty()
