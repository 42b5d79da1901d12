"""`chargekey audit verify`, and what to do after a store was restored from a backup."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.postgres import Postgres
from chargekey_stack.data_directory import VERSION, DataDirectory
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, programs

from .running_system import RunningSystem, chargekey, here, refused, up


def create(system: RunningSystem, name: str) -> str:
    created = system.chargekey(
        "installation", "create", "--name", name, "--time-zone", "Europe/Oslo"
    )
    return str(created["position"])


def verified(system: RunningSystem) -> Any:
    """Verify once everything is published."""
    deadline = time.monotonic() + 30
    while True:
        found = system.chargekey("audit", "verify")
        told = isinstance(found, str) or not any(each.get("behind") for each in found["streams"])
        if told and found != "audit_interrupted":  # as where a stream has just begun anew
            return found
        assert time.monotonic() < deadline


@pytest.mark.timeout(300)  # starts a whole system time and again
def test_stores_agree_with_their_streams_also_when_restored_until_somebody_forges(
    tmp_path: Path,
) -> None:
    """A restored store begins a new generation when a person says so."""
    data, said = tmp_path / "data", tmp_path / "said"
    store, backup = data / "access" / "access.db", tmp_path / "backup.db"
    with up(data, said, working_directory=tmp_path) as system:
        before = create(system, "kept")
        assert refused("restored", "access", data=data)["code"] == "data_in_use"
        with closing(sqlite3.connect(store)) as kept, closing(sqlite3.connect(backup)) as copy:
            kept.backup(copy)
        create(system, "lost with the disk")
        assert verified(system)["ok"]
        system.end(signal.SIGTERM)
    shutil.copy(backup, store)
    declared = chargekey("restored", "access", data=data)
    assert declared["service"] == "access"
    with up(data, said, working_directory=tmp_path) as system:
        after = create(system, "new")
        assert after.split(":")[1] == declared["generation"] != before.split(":")[1]
        assert verified(system) == {
            "ok": True,
            "streams": [
                {"stream": "ACCESS", "store": True, "records": 2, "behind": 0},
                {"stream": "IDENTITY", "store": True, "records": 0, "behind": 0},
                {"stream": "SESSIONS", "store": False},
                {"stream": "CHARGERS", "store": False},
            ],
        }
        events = system.chargekey("events", "--stream", "access")["events"]
        assert [event["data"]["name"] for event in events] == ["kept", "new"]
        # Not the last one: by that the relay knows where it is, and ends when it is another.
        with closing(sqlite3.connect(store)) as forged:
            forged.execute("UPDATE stored_events SET originator_id='forged' WHERE rowid=1")
            forged.commit()
        error = refused("audit", "verify", data=data)
        assert error["code"] == "audit_differed"
        assert f"position {after.rpartition(':')[0]}:1" in error["message"]
        assert "(record_changed)" in error["message"]


def test_only_what_is_there_can_have_been_restored(tmp_path: Path) -> None:
    assert refused("restored", "access", data=tmp_path / "nowhere")["code"] == "store_missing"
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "version").write_text(VERSION)
    assert refused("restored", "identity", data=tmp_path)["code"] == "store_missing"
    (tmp_path / "version").write_text("77\n")
    assert refused("restored", "identity", data=tmp_path)["code"] == "data_version"


def declared(data: Path) -> str:
    """Declare the store of access a restored one; return its new generation."""
    status, out, err = here("restored", "access", "--json", data=data)
    assert (status, err) == (0, "")
    generation: str = json.loads(out)["generation"]
    return generation


def test_a_store_in_a_database_can_have_been_restored_too(
    tmp_path: Path, postgres_server: str
) -> None:
    PostgresRecorder.migrate(Postgres(postgres_server, "access"))
    data = DataDirectory(tmp_path)
    with data.locked():
        data.remember_postgres(postgres_server)
    generations = {declared(data.path) for _ in range(2)}
    assert len(generations) == 2
    recorder = PostgresRecorder(Postgres(postgres_server, "access"))
    assert recorder.generation in generations
    recorder.close()
    assert refused("restored", "identity", data=tmp_path)["code"] == "store_missing"


@pytest.mark.parametrize("service", ["access", "identity"])
def test_where_there_is_no_data_directory_a_job_of_the_service_says_so(
    service: str, tmp_path: Path, postgres: Postgres
) -> None:
    """As in a cluster, where whoever restores a database has its URL and nothing else."""
    database = tmp_path / "database"
    database.write_text(postgres.dsn)

    def job(name: str, *, postgres: Path | None) -> subprocess.CompletedProcess[str]:
        data, ports = DataDirectory(tmp_path / "data"), Ports()
        with data.locked(), closing(ports):
            ours = programs(data, Addresses.reserve(ports), "nats://nobody", postgres=postgres)
        [program] = [each for each in ours if each.name == service]
        return subprocess.run(
            [*program.command, name],
            env=program.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def generation() -> str:
        with closing(PostgresRecorder(Postgres(postgres.dsn, service))) as recorder:
            return recorder.generation

    assert job("migrate", postgres=database).returncode == 0
    before = generation()
    done = job("restored", postgres=database)
    assert done.returncode == 0
    assert generation() != before
    assert generation() in done.stderr
    refused = job("restored", postgres=None)
    assert refused.returncode == 1
    assert "declared another by `chargekey restored`" in refused.stdout
