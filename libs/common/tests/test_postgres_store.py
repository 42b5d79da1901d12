"""What several processes on one PostgreSQL get: one order without gaps, and each other's news."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import IntegrityError
from nats.aio.client import Client
from psycopg.sql import SQL, Identifier

from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import (
    ContendedError,
    Context,
    EventStore,
    Reaction,
    StoreUnavailableError,
)
from chargekey_common.eventstore.waiting import HandledPositions
from chargekey_common.leadership import lead
from chargekey_common.positions import Position
from chargekey_common.postgres import DatabaseUnreachableError, NotMigratedError, Postgres
from chargekey_common.process import cancel
from chargekey_common.relay import Relay

from .agreement import agree
from .shelves import EVENTS, Shelf, Shelves, evolve, publication

OpenStore = Callable[..., EventStore]

WRITERS = 4
COMMANDS = 100


def ask(command_id: str) -> Context:
    return Context(actor="administrator:local", command_id=command_id)


def test_a_reader_behind_several_writers_misses_no_event(open_postgres_store: OpenStore) -> None:
    """A sequence gives numbers out before they are committed: later ones may be seen first.

    Commands and reactions save in different ways, and each waits for the other.
    """
    stores = [open_postgres_store() for _ in range(WRITERS)]

    def write(writer: int) -> None:
        shelves = Shelves(stores[writer])
        for number in range(COMMANDS):
            name = f"{writer}-{number}"
            if number % 3:
                shelves.label(ask(name), shelf_id=name, label=name)
            else:
                handled = Handled(f"of-{writer}", Position("x", "0" * 16, number + 1))
                shelves.react(Reaction(handled, name, 0, "somebody"), name)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    reader, seen, number = open_postgres_store(), [], 0
    for thread in threads:
        thread.start()
    while len(seen) < WRITERS * COMMANDS:
        # Before reading: whoever writes his last and ends behind an empty read is read next time.
        writing = any(thread.is_alive() for thread in threads)
        read = reader.read(number, 7)
        seen += [record.originator_id for _, record, _ in read]
        number = read[-1][0] if read else number
        if not (read or writing):
            break
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"{w}-{n}" for w in range(WRITERS) for n in range(COMMANDS))


def test_the_function_that_leaves_the_lock_out_is_not_in_the_database(
    open_postgres_store: OpenStore, postgres: Postgres
) -> None:
    open_postgres_store()
    with psycopg.connect(postgres.dsn) as connection:
        found = connection.execute(
            "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE nspname LIKE %s",
            (f"{postgres.schema}%",),
        ).fetchall()
    assert found == []


def test_two_replicas_given_the_same_command_do_it_once(open_postgres_store: OpenStore) -> None:
    first, second = Shelves(open_postgres_store()), Shelves(open_postgres_store())
    answers = {}

    def meet() -> None:
        first.before_save = lambda: None
        answers["second"] = second.label(ask("c1"), shelf_id="s", label="tools")

    first.before_save = meet
    assert first.label(ask("c1"), shelf_id="s", label="tools") == answers["second"]
    assert len(first.store.read(0, 10)) == 1


def test_two_replicas_given_the_same_command_without_effect_remember_it_once(
    open_postgres_store: OpenStore,
) -> None:
    first, second = Shelves(open_postgres_store()), Shelves(open_postgres_store())
    first.label(ask("c0"), shelf_id="s", label="tools")
    answers = {}

    def meet() -> None:
        first.before_save = lambda: None
        answers["second"] = second.label(ask("c1"), shelf_id="s", label="tools")

    first.before_save = meet
    assert first.label(ask("c1"), shelf_id="s", label="tools") == answers["second"]


def test_two_replicas_given_the_same_event_react_once(open_postgres_store: OpenStore) -> None:
    first, second = open_postgres_store(), open_postgres_store()
    event = Reaction(Handled("shelves-on-it", Position("x", "0" * 16, 7)), "event-7", 0, "somebody")
    met = []

    def decide(work):  # noqa: ANN001, ANN202 - as EventStore.react says
        shelf = work.load(evolve, f"of attempt {len(met)}")
        work.record(shelf, *[EVENTS[2]()])
        if not met:
            met.append(Shelves(second).react(event, "s"))

    first.react(event, decide)
    assert [record.originator_id for _, record, _ in first.read(0, 10)] == ["s"]


async def test_a_save_of_one_replica_wakes_those_who_wait_at_another(
    open_postgres_store: OpenStore,
) -> None:
    here, there = open_postgres_store(), Shelves(open_postgres_store())
    waiting = HandledPositions(here)
    position = Position("identity", "0" * 16, 7)
    waiter = asyncio.create_task(waiting.wait_for("shelves-on-it", position))
    event = Reaction(Handled("shelves-on-it", position), "event-7", 0, "somebody")
    await asyncio.to_thread(there.react, event, "s")
    async with asyncio.timeout(10):
        assert await waiter == there.store.position()


def test_a_closed_store_listens_no_longer(
    open_postgres_store: OpenStore, postgres: Postgres
) -> None:
    """It is not left to the end of the patience for it."""
    before = threading.enumerate()  # another test's may be about to end
    store = open_postgres_store()
    [listening] = [
        each for each in threading.enumerate() if each.name == "listen" and each not in before
    ]
    there = "SELECT pid FROM pg_stat_activity WHERE query = %s AND state = 'idle'"
    listen = f'LISTEN "{postgres.schema}_shelves_saved"'
    with postgres.connect() as looking:
        while not looking.execute(there, (listen,)).fetchall():
            assert listening.is_alive()
    store.close()
    listening.join(30)
    assert not listening.is_alive()


def test_a_save_whose_answer_got_lost_is_recognised_as_ones_own(
    open_postgres_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the commit: the save repeats itself, and meets its own event."""
    shelves = Shelves(open_postgres_store())
    execute = psycopg.Connection.execute
    broken = []

    def commit_and_break(self, query, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN202 - the library's own
        done = execute(self, query, *args, **kwargs)
        if not broken and b"INSERT" in query:
            broken.append(True)
            raise psycopg.OperationalError
        return done

    monkeypatch.setattr(psycopg.Connection, "execute", commit_and_break)
    answer = shelves.label(ask("c1"), shelf_id="s", label="tools")
    assert broken
    assert answer.position.number == shelves.store.end()
    assert len(shelves.store.read(0, 10)) == 1


def test_sessions_that_were_ended_are_opened_again(
    open_postgres_store: OpenStore, postgres: Postgres
) -> None:
    shelves = Shelves(open_postgres_store())
    shelves.label(ask("c1"), shelf_id="s", label="tools")
    with psycopg.connect(postgres.dsn, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
    shelves.label(ask("c2"), shelf_id="s", label="paint")
    assert shelves.store.load(evolve, "s").state == Shelf("paint")


def test_a_locked_table_is_waited_for_some_seconds_and_then_unavailable(
    open_postgres_store: OpenStore, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargekey_common.eventstore.postgres.TABLE_WAIT", 0.001)
    # Every attempt that fails closes its connection, and others have yet to be opened.
    monkeypatch.setattr("chargekey_common.eventstore.postgres.CONNECTION_WAIT", 20)
    monkeypatch.setattr("eventsourcing.utils.sleep", lambda _: None)
    shelves = Shelves(open_postgres_store())
    table = SQL("{}.stored_events").format(Identifier(f"{postgres.schema}_shelves"))
    with psycopg.connect(postgres.dsn) as other:
        other.execute(SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(table))
        with pytest.raises(StoreUnavailableError):
            shelves.label(ask("c1"), shelf_id="s", label="tools")
        assert shelves.store.load(evolve, "s").state is None  # reads go on
    shelves.label(ask("c1"), shelf_id="s", label="tools")
    assert shelves.store.end() == 1


@pytest.mark.parametrize("held", [False, True], ids=["released", "held"])
def test_whoever_opens_a_store_waits_for_its_tables_some_seconds_too(
    open_postgres_store: OpenStore,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    *,
    held: bool,
) -> None:
    monkeypatch.setattr("chargekey_common.eventstore.postgres.TABLE_WAIT", 0.001)
    opened = open_postgres_store()
    with psycopg.connect(postgres.dsn) as other:
        table = SQL("{}.generation").format(Identifier(f"{postgres.schema}_shelves"))
        other.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
        between = (lambda: None) if held else other.rollback
        monkeypatch.setattr("eventsourcing.utils.sleep", lambda _: between())
        with pytest.raises(DatabaseUnreachableError) if held else contextlib.nullcontext():
            assert open_postgres_store().recorder.generation == opened.recorder.generation


def test_conflicts_leave_no_connection_behind_that_others_trip_over(
    open_postgres_store: OpenStore,
) -> None:
    """A pipeline that fails leaves it open which statements the server has prepared."""
    stores = [open_postgres_store(), open_postgres_store()]
    failed: list[Exception] = []

    def write(writer: int) -> None:
        shelves = Shelves(stores[writer % 2])
        for number in range(30):
            name = f"{writer}-{number}"
            try:
                shelves.label(ask(name), shelf_id="the same", label=name)
            except ContendedError:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
                failed.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_connection_on_which_a_save_failed_is_not_used_again(
    open_postgres_store: OpenStore,
) -> None:
    datastore = open_postgres_store().recorder.datastore
    with pytest.raises(IntegrityError), datastore.get_connection() as connection:
        raise IntegrityError
    assert connection.closed


def test_the_server_ends_a_save_that_stands_still(open_postgres_store: OpenStore) -> None:
    """A frozen process would hold the table, and with it every other writer."""
    with open_postgres_store().recorder.datastore.get_connection() as connection:
        for name in ("idle_in_transaction_session_timeout", "transaction_timeout"):
            [row] = connection.execute(SQL("SHOW {}").format(Identifier(name))).fetchall()
            assert row == {name: "5s"}


def test_many_who_wait_to_save_leave_connections_to_those_who_read(
    open_postgres_store: OpenStore, postgres: Postgres
) -> None:
    store = open_postgres_store()
    refused: list[Exception] = []

    def write(number: int) -> None:
        try:
            Shelves(store).label(ask(str(number)), shelf_id=str(number), label="x")
        except StoreUnavailableError as error:
            refused.append(error)

    table = SQL("{}.stored_events").format(Identifier(f"{postgres.schema}_shelves"))
    with psycopg.connect(postgres.dsn) as other:
        other.execute(SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(table))
        threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert store.load(evolve, "0").state is None
    assert len(refused) == len(threads)


async def test_the_stream_tells_the_log_while_the_relay_goes_from_replica_to_replica(
    open_postgres_store: OpenStore, postgres: Postgres, nats_client: Client
) -> None:
    stores = [open_postgres_store(), open_postgres_store()]
    place = msgspec.structs.replace(postgres, schema=f"{postgres.schema}_shelves")
    replicas = [
        asyncio.create_task(lead(place, "relay", Relay(nats_client, store, publication).run))
        for store in stores
    ]
    for round_ in range(3):
        for number, store in enumerate(stores):
            for item in range(20):
                name = f"{round_}-{number}-{item}"
                await asyncio.to_thread(Shelves(store).label, ask(name), shelf_id=name, label=name)
        await asyncio.to_thread(end_leader, postgres)
    await agree(nats_client, stores[0])
    await cancel(*replicas)


def end_leader(postgres: Postgres) -> None:
    """End the session of whoever leads, as soon as somebody does."""
    with psycopg.connect(postgres.dsn, autocommit=True) as other:
        ended = None
        while ended is None:
            ended = other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND granted"
            ).fetchone()


MIGRATE = """
import sys
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.postgres import Postgres
PostgresRecorder.migrate(Postgres(sys.argv[1], sys.argv[2]))
"""


def test_four_that_migrate_at_once_do_not_break_each_other(
    postgres: Postgres,
) -> None:
    command = [sys.executable, "-c", MIGRATE, postgres.dsn, postgres.schema]
    migrating = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    for process in migrating:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    EventStore("shelves", postgres, EVENTS).close()


def test_a_schema_without_tables_says_what_to_run(
    postgres: Postgres,
) -> None:
    with pytest.raises(NotMigratedError):
        PostgresRecorder(postgres)


def test_the_password_of_the_database_is_not_shown() -> None:
    where = Postgres("postgresql://user:hunter2@host/database", "access")
    assert "hunter2" not in f"{where} {where!r}"
