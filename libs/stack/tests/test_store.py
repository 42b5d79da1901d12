"""`chargekey up --store`: the same system with everything in PostgreSQL."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from .running_system import RunningSystem, chargekey, up

SCHEMAS = {"access", "history", "identity", "notifier"}


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
    since = ["--at-least", ada["position"], "--at-least", pin["position"]]
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
        assert chargekey("up", "--store", database, data=tmp_path / "other") == "database_in_use"
        assert first.end(signal.SIGTERM) == 0
    assert list(data.glob("*/*.db")) == []
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT DISTINCT schemaname FROM pg_stat_user_tables")
        assert {schema for (schema,) in found} == SCHEMAS
    # Named once, it is remembered.
    with up(data, tmp_path / "said", working_directory=tmp_path) as second:
        assert decided(second) == ("Blocked", "user_blocked")
        assert second.end(signal.SIGTERM) == 0
    elsewhere = database.replace("/chargekey_", "/another_")
    assert chargekey("up", "--store", elsewhere, data=data) == "store_elsewhere"


def test_events_in_files_are_not_left_behind(
    database: str, system: RunningSystem, tmp_path: Path
) -> None:
    used = tmp_path / "data"
    (used / "access").mkdir(parents=True)
    (used / "version").write_bytes((system.data / "version").read_bytes())
    (used / "access" / "access.db").touch()
    assert chargekey("up", "--store", database, data=used) == "store_elsewhere"


@pytest.mark.parametrize("url", ["", "mysql://host/database", "postgresql://%zz", "host=here"])
def test_what_is_no_url_of_postgresql_is_refused(url: str, tmp_path: Path) -> None:
    assert chargekey("up", "--store", url, data=tmp_path) == "store_malformed"


def test_a_database_that_does_not_answer_is_one_clear_error(tmp_path: Path) -> None:
    url = f"postgresql://user:hunter2@/database?host={tmp_path}"
    assert chargekey("up", "--store", url, data=tmp_path / "data") == "database_unusable"
