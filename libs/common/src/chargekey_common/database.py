"""Tables beside the event stores: the same statements on a SQLite file and on PostgreSQL.

A file is durable (WAL, synchronous=FULL: what is committed survives a power cut),
belongs to one process, and gets its tables when it is opened. A schema of
PostgreSQL is shared by any number of replicas and gets its tables from `migrate`,
run once before the first of them. What the two do differently stands here alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Integer,
    MetaData,
    QueuePool,
    Table,
    Text,
    create_engine,
    event,
    exc,
    inspect,
)
from sqlalchemy.dialects import postgresql, sqlite

from chargekey_common.eventstore.recorder import ERRORS, StoreInUseError
from chargekey_common.postgres import (
    DatabaseUnreachableError,
    NotMigratedError,
    Postgres,
    migrating,
)

# A number the database gives, counting up: only INTEGER does so in SQLite.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# Ordered by bytes on both.
ID = Text().with_variant(Text(collation="C"), "postgresql")

CONNECTIONS = 2
MORE_CONNECTIONS = 6  # while many are needed at once
CONNECTION_WAIT = 5.0
# Milliseconds a transaction may rest before the server ends it, at the least.
LEAST_IDLE = 5000
# Seconds for what still runs when a database is closed.
CLOSE_TIMEOUT = 10.0

_TABLES = ERRORS.labels("tables")

Make = Callable[[Connection], object]


class DatabaseUnavailableError(Exception):
    """Locked, full, or out of reach: it passes. Nothing was written, or nobody knows whether."""


class Database:
    """The tables of one module in one place; blocking, and safe from any thread.

    `make` creates the tables in the transaction it is given, where they are not there
    yet. `lock_timeout` is how long to wait for what another holds, in seconds.
    `alone` lets no other process into a file, and waits for none; `overwriting` makes
    a file forget what is deleted from it, see `scrub`.

    Raises DatabaseUnreachableError and NotMigratedError on PostgreSQL; in a file
    DatabaseUnavailableError, and StoreInUseError when another process has it to itself.
    """

    def __init__(
        self,
        where: Path | Postgres,
        tables: MetaData,
        *,
        make: Make | None = None,
        lock_timeout: float = 5.0,
        alone: bool = False,
        overwriting: bool = False,
    ) -> None:
        # Whether other processes may be writing too.
        self.shared = isinstance(where, Postgres)
        self._running = 0
        self._closing = False
        self._idle = threading.Condition()
        self._engine: Engine
        self._reading: Engine
        if isinstance(where, Postgres):
            self._engine = _postgres_engine(where, lock_timeout)
            self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        else:
            where.parent.mkdir(parents=True, exist_ok=True)
            self._engine = _sqlite_engine(where, lock_timeout, alone=alone, overwriting=overwriting)
            self._reading = self._engine
        self._writing = self._engine.execution_options(writing=True)
        try:
            if isinstance(where, Postgres):
                self._require(tables, where)
            else:
                with self.writing() as connection:
                    (make or tables.create_all)(connection)
        except DatabaseUnavailableError as error:
            self.close()
            trouble = _trouble(error)
            if isinstance(where, Postgres):
                raise DatabaseUnreachableError(str(trouble)) from error
            if alone and getattr(trouble, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise StoreInUseError(where) from error
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection, once what runs on them has ended."""
        with self._idle:
            self._closing = True
            # Whoever does not end in time keeps his until the process ends: SQLite
            # crashes when it is closed in the middle of a statement.
            self._idle.wait_for(lambda: not self._running, timeout=CLOSE_TIMEOUT)
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection for one statement that reads; it waits for no writer."""
        with self._used(), self._reading.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Commit all that is written inside, or nothing of it.

        In a file one writes at a time. On PostgreSQL each statement sees what others
        have committed by then: lock (`with_for_update`) what must stay as it was read.
        """
        with self._used(), self._writing.begin() as connection:
            yield connection

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """Return an insert that can say what is to happen where the row exists."""
        return postgresql.insert(table) if self.shared else sqlite.insert(table)

    def scrub(self, table: Table) -> None:
        """Take what was overwritten or deleted out of the files, as far as that can be done.

        In a file of a database opened with `overwriting` nothing of it remains. On
        PostgreSQL the table is written anew without its old rows, except for what
        somebody's long transaction may still look at, and is locked meanwhile (0.13 s
        for 100 000 rows); a VACUUM that is not FULL leaves their bytes in the blocks.
        The write-ahead log, its archive, replicas and backups have the old rows for as
        long as they are kept, and the disk has the blocks of the old file until others
        take them. The connecting role has to own the table: for another, PostgreSQL
        does nothing.
        """
        with self._used():
            if not self.shared:
                with self._engine.connect() as connection:
                    busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
                if busy:
                    message = "database is locked"
                    raise DatabaseUnavailableError(message)
                return
            with self._reading.connect() as connection:  # VACUUM refuses a transaction
                quote = connection.dialect.identifier_preparer.quote
                schema = _schema(connection) or ""
                connection.exec_driver_sql(f"VACUUM FULL {quote(schema)}.{quote(table.name)}")

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        with self._idle:
            if self._closing:
                message = "database is closed"
                raise DatabaseUnavailableError(message)
            self._running += 1
        try:
            with _named():
                yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _require(self, tables: MetaData, where: Postgres) -> None:
        with self.reading() as connection:
            there = inspect(connection).get_table_names(schema=where.schema)
        if not set(tables.tables) <= set(there):
            raise NotMigratedError(where)


def migrate(where: Postgres, tables: MetaData, make: Make | None = None) -> None:
    """Make the tables that are missing, all or none, one process at a time; see `Database`.

    Harmless to repeat. Raises DatabaseUnreachableError and DatabaseUnavailableError.
    """
    with migrating(where), _named():
        engine = _postgres_engine(where, lock_timeout=60.0)
        try:
            with engine.begin() as connection:
                (make or tables.create_all)(connection)
        finally:
            engine.dispose()


def columns(connection: Connection, table: Table) -> set[str]:
    """Return the columns the table has in the database, none when it is not there."""
    found = inspect(connection)
    schema = _schema(connection)
    if not found.has_table(table.name, schema=schema):
        return set()
    return {column["name"] for column in found.get_columns(table.name, schema=schema)}


def _schema(connection: Connection) -> str | None:
    places: Mapping[None, str] = connection.get_execution_options().get("schema_translate_map", {})
    return places.get(None)


def _postgres_engine(where: Postgres, lock_timeout: float) -> Engine:
    # Where tables are files, it would be a tenth of a service's start.
    import psycopg  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415

    # Not by SQLAlchemy's own reading of the URL, which knows less than libpq: several hosts.
    given = conninfo_to_dict(where.conninfo).get("options") or ""
    waits = int(lock_timeout * 1000)
    # Whoever waits shortly for others' locks may be slow himself, on a busy machine.
    idle = max(waits, LEAST_IDLE)
    conninfo = make_conninfo(
        where.conninfo,
        options=f"{given} -c lock_timeout={waits} -c idle_in_transaction_session_timeout={idle}",
    )
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(conninfo),
        execution_options={"schema_translate_map": {None: where.schema}},
        isolation_level="READ COMMITTED",
        pool_size=CONNECTIONS,
        max_overflow=MORE_CONNECTIONS,
        pool_timeout=CONNECTION_WAIT,
        # After a failover the first to come must not meet the connections to what was there.
        pool_pre_ping=True,
        # Errors are logged, and parameters may be somebody's.
        hide_parameters=True,
        # No column is one, and every engine would first ask the server about that type.
        use_native_hstore=False,
    )


def _sqlite_engine(path: Path, lock_timeout: float, *, alone: bool, overwriting: bool) -> Engine:
    pragmas = [
        *(["locking_mode=EXCLUSIVE"] if alone else []),
        "journal_mode=WAL",
        "synchronous=FULL",
        *(["secure_delete=ON"] if overwriting else []),
    ]

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            path,
            timeout=0 if alone else lock_timeout,
            isolation_level=None,  # nothing begins by itself
            check_same_thread=False,
        )
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=1 if alone else CONNECTIONS,
        max_overflow=0 if alone else MORE_CONNECTIONS,
        pool_timeout=CONNECTION_WAIT,
        hide_parameters=True,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # At once for writing: a transaction that has read cannot always go on to write.
        if connection.get_execution_options().get("writing"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Give everything that passes one name."""
    try:
        yield
    except exc.TimeoutError as error:
        _TABLES.inc()
        message = "every connection is in use"
        raise DatabaseUnavailableError(message) from error
    except exc.DBAPIError as error:
        if not _passes(error):
            raise
        _TABLES.inc()
        raise DatabaseUnavailableError(_reason(error.orig)) from error


def _passes(error: exc.DBAPIError) -> bool:
    """Whether it is the state of the database and not what it was asked.

    Psycopg has a server that only reads, as after a failover, among internal errors,
    and a table that is gone, as in a migration, among those of programmers.
    """
    if isinstance(error.orig, sqlite3.Error):
        return error.connection_invalidated or isinstance(error.orig, sqlite3.OperationalError)
    import psycopg  # noqa: PLC0415 - as where an engine is made

    return error.connection_invalidated or isinstance(
        error.orig,
        psycopg.OperationalError
        | psycopg.InterfaceError
        | psycopg.InternalError
        | psycopg.errors.UndefinedTable,
    )


def _reason(error: BaseException | None) -> str:
    """Return what may be logged: PostgreSQL's own words can quote a row or an address."""
    if error is not None and hasattr(error, "sqlstate"):
        return " ".join(filter(None, (type(error).__name__, error.sqlstate)))
    return str(error)


def _trouble(error: DatabaseUnavailableError) -> BaseException | None:
    """Return the driver's own error."""
    cause = error.__cause__
    return cause.orig if isinstance(cause, exc.DBAPIError) else cause
