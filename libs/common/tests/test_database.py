"""One contract for tables in a file and in a schema, and what each promises alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Column, LargeBinary, MetaData, Table, exc, func, select

from chargekey_common import database
from chargekey_common.database import ID, Database, DatabaseUnavailableError, migrate
from chargekey_common.eventstore.recorder import StoreInUseError
from chargekey_common.postgres import DatabaseUnreachableError, NotMigratedError, Postgres
from chargekey_common.testing.tables import execute, nobody_else_looking, session

TABLES = MetaData()
THINGS = Table("things", TABLES, Column("id", ID, primary_key=True), Column("secret", LargeBinary))


def opened(place: Path | Postgres, **settings: float | bool) -> Database:
    return Database(place, TABLES, **settings)  # type: ignore[arg-type] # by name


@pytest.fixture
def made(place: Path | Postgres) -> Path | Postgres:
    """Return a place with its tables."""
    if isinstance(place, Postgres):
        migrate(place, TABLES)
    return place


@pytest.fixture
def db(made: Path | Postgres) -> Iterator[Database]:
    with closing(opened(made, lock_timeout=0.05)) as db:
        yield db


def put(db: Database, *ids: str) -> None:
    with db.writing() as connection:
        for each in ids:
            connection.execute(THINGS.insert().values(id=each, secret=b"secret"))


def ids(db: Database) -> list[str]:
    with db.reading() as connection:
        return list(connection.execute(select(THINGS.c.id).order_by(THINGS.c.id)).scalars())


def test_all_that_is_written_together_is_committed_or_nothing_of_it(db: Database) -> None:
    put(db, "a")
    with pytest.raises(exc.IntegrityError):
        put(db, "b", "a")
    assert ids(db) == ["a"]


def test_ids_are_ordered_by_their_bytes(db: Database) -> None:
    put(db, "b", "a", "B", "-", "é")
    assert ids(db) == ["-", "B", "a", "b", "é"]


def test_an_insert_can_pass_over_what_is_there(db: Database) -> None:
    for _ in range(2):
        with db.writing() as connection:
            connection.execute(db.insert(THINGS).on_conflict_do_nothing(), {"id": "a"})
    assert ids(db) == ["a"]


def test_a_reader_waits_for_no_writer(db: Database) -> None:
    with db.writing() as connection:
        connection.execute(THINGS.insert().values(id="a"))
        assert ids(db) == []
    assert ids(db) == ["a"]


def test_what_another_holds_is_waited_for_only_so_long_and_then_works_again(
    db: Database, made: Path | Postgres
) -> None:
    with session(made) as other:
        if isinstance(made, Postgres):
            other.execute("BEGIN")
            other.execute("LOCK TABLE things IN EXCLUSIVE MODE")
        else:
            other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError):
            put(db, "a")
        assert ids(db) == []
        other.execute("ROLLBACK")
    put(db, "a")
    assert ids(db) == ["a"]


def test_closing_waits_for_what_runs_and_then_nothing_runs(db: Database) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with db.writing() as connection:
            inside.set()
            assert go_on.wait(20)
            connection.execute(THINGS.insert().values(id="a"))

    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write)
        assert inside.wait(20)
        closing = threads.submit(db.close)
        assert not closing.done()
        go_on.set()
        writing.result()
        closing.result()
    with pytest.raises(DatabaseUnavailableError, match="closed"):
        ids(db)


def test_a_table_that_is_gone_is_unavailable(db: Database, made: Path | Postgres) -> None:
    execute(made, "DROP TABLE things")
    with pytest.raises(DatabaseUnavailableError):
        ids(db)


def test_a_second_process_is_kept_out_of_a_file_that_is_held_alone(tmp_path: Path) -> None:
    path = tmp_path / "things.db"
    with closing(opened(path, alone=True)) as db:
        put(db, "a")
        with pytest.raises(StoreInUseError):
            opened(path, alone=True)
    with closing(opened(path, alone=True)) as db:
        assert ids(db) == ["a"]


def test_a_file_is_as_durable_as_the_event_store(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "things.db")) as db, db.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_writers_that_first_read_do_not_meet_in_a_file(tmp_path: Path) -> None:
    together = threading.Barrier(4)
    with closing(opened(tmp_path / "things.db")) as db, ThreadPoolExecutor(4) as threads:

        def count_up() -> None:
            together.wait()
            for _ in range(10):
                with db.writing() as connection:
                    known = connection.execute(select(func.count()).select_from(THINGS)).scalar()
                    connection.execute(THINGS.insert().values(id=str(known)))

        for each in [threads.submit(count_up) for _ in range(4)]:
            each.result()
        assert len(ids(db)) == 40


def test_an_overwriting_file_overwrites_with_every_connection(tmp_path: Path) -> None:
    with (
        closing(opened(tmp_path / "things.db", overwriting=True)) as db,
        db.reading() as one,
        db.reading() as other,
    ):
        for connection in (one, other):
            assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_a_full_disk_stores_nothing_and_passes(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "things.db", alone=True)) as db:
        with db.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 4")
        with pytest.raises(DatabaseUnavailableError, match="full"):
            put(db, "a", "b" * 100_000)
        with db.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000")
        assert ids(db) == []
        put(db, "c")
        assert ids(db) == ["c"]


def test_what_was_deleted_from_an_overwriting_file_is_in_no_file(tmp_path: Path) -> None:
    path = tmp_path / "things.db"

    def there() -> bool:
        return any(b"secret" * 20 in file.read_bytes() for file in tmp_path.iterdir())

    with closing(opened(path, overwriting=True, lock_timeout=0.05)) as db:
        with db.writing() as connection:
            connection.execute(THINGS.insert().values(id="a", secret=b"secret" * 20))
        with session(path) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM things")
            with db.writing() as connection:
                connection.execute(THINGS.update().values(secret=None))
            with pytest.raises(DatabaseUnavailableError):
                db.scrub(THINGS)
            reader.execute("COMMIT")
        assert there()
        db.scrub(THINGS)
        assert not there()


def test_what_was_deleted_from_a_schema_is_not_in_the_table(postgres: Postgres) -> None:
    migrate(postgres, TABLES)

    def there() -> bool:
        execute(postgres, "CHECKPOINT")
        stored = "pg_read_binary_file(pg_relation_filepath('things'))"
        [(found,)] = execute(postgres, f"SELECT position('secretsecret'::bytea in {stored})")
        return bool(found)

    with nobody_else_looking(postgres), closing(opened(postgres)) as db:
        with db.writing() as connection:
            connection.execute(THINGS.insert().values(id="a", secret=b"secret" * 20))
        with db.writing() as connection:
            connection.execute(THINGS.update().values(secret=None))
        assert there()
        db.scrub(THINGS)
        assert not there()


def test_a_schema_without_tables_is_refused_with_the_remedy(postgres: Postgres) -> None:
    with pytest.raises(NotMigratedError, match=f"chargekey-{postgres.schema} migrate"):
        opened(postgres)
    migrate(postgres, MetaData())
    with pytest.raises(NotMigratedError):
        opened(postgres)


def test_tables_are_made_once_however_many_make_them_together(postgres: Postgres) -> None:
    together = threading.Barrier(6)

    def make() -> None:
        together.wait()
        migrate(postgres, TABLES)

    with ThreadPoolExecutor(6) as threads:
        for each in [threads.submit(make) for _ in range(6)]:
            each.result()
    with closing(opened(postgres)) as db:
        put(db, "a")
        migrate(postgres, TABLES)
        assert ids(db) == ["a"]


def test_a_lost_connection_writes_nothing_and_the_next_one_works(postgres: Postgres) -> None:
    migrate(postgres, TABLES)
    name = msgspec.structs.replace(
        postgres, dsn=f"{postgres.dsn}&application_name={postgres.schema}"
    )

    def lose() -> None:
        ours = f"application_name = '{postgres.schema}'"
        execute(
            postgres,
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}",  # noqa: S608 - a name of the test's own
        )

    def write_and_lose(db: Database) -> None:
        with db.writing() as connection:
            connection.execute(THINGS.insert().values(id="a"))
            lose()
            connection.execute(THINGS.insert().values(id="b"))

    with closing(opened(name)) as db:
        with pytest.raises(DatabaseUnavailableError):
            write_and_lose(db)
        put(db, "c")
        lose()
        assert ids(db) == ["c"]


def test_a_database_out_of_reach_is_said_without_its_password() -> None:
    nowhere = Postgres("postgresql://me:hunter2@127.0.0.1:1/db", "things")
    with pytest.raises(DatabaseUnreachableError) as refused:
        opened(nowhere)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(DatabaseUnreachableError):
        migrate(nowhere, TABLES)


def test_what_the_url_says_of_the_session_is_kept(postgres: Postgres) -> None:
    migrate(postgres, TABLES)
    options = msgspec.structs.replace(postgres, dsn=f"{postgres.dsn}&options=-c%20work_mem%3D7MB")
    with closing(opened(options, lock_timeout=0.25)) as db, db.reading() as connection:
        assert connection.exec_driver_sql("SHOW work_mem").scalar() == "7MB"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "250ms"


def test_an_error_that_is_logged_names_no_row_and_no_address(postgres: Postgres) -> None:
    migrate(postgres, TABLES)
    with closing(opened(postgres, lock_timeout=0.05)) as db, session(postgres) as other:
        put(db, "kari")
        other.execute("BEGIN")
        other.execute("SELECT * FROM things FOR UPDATE")
        with pytest.raises(DatabaseUnavailableError) as error, db.writing() as connection:
            connection.execute(THINGS.delete().where(THINGS.c.id == "kari"))
        assert str(error.value) == "LockNotAvailable 55P03"
        other.execute("ROLLBACK")


def test_more_at_once_than_connections_is_unavailable(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(postgres, TABLES)
    for name, value in (("CONNECTIONS", 1), ("MORE_CONNECTIONS", 0), ("CONNECTION_WAIT", 0.05)):
        monkeypatch.setattr(database, name, value)
    with closing(opened(postgres)) as db, db.reading() as connection:
        with pytest.raises(DatabaseUnavailableError):
            ids(db)
        assert connection.execute(select(func.count()).select_from(THINGS)).scalar() == 0
