"""PostgreSQL behind the event store: several writers, one order, everybody woken.

Saves come one after the other (readers are not held up), so that numbers appear in
the order of the log: a reader that has seen a number will never find a smaller one
later. A command's save is one statement, which takes an advisory lock before its
numbers and has it until they are committed; every other save locks the table, which
no such statement writes to meanwhile. The library's faster way, a function in the
database, leaves the lock out and lets readers miss events; it is refused.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, LiteralString

import psycopg
import psycopg_pool
import structlog
from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    Notification,
    OperationalError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.utils import retry
from psycopg import Connection, Cursor
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Identifier, Literal

from chargekey_common.eventstore import quarantine
from chargekey_common.eventstore.recorder import NOTHING, Alongside, Receipt, Recorder
from chargekey_common.positions import Position
from chargekey_common.postgres import (
    DatabaseUnreachableError,
    NotMigratedError,
    Postgres,
    migrating,
)

CONNECTIONS = 2
MOST_CONNECTIONS = 8
# Saves come one after the other anyway: the others leave connections to those who read.
SAVES_AT_ONCE = 4
# Seconds that one of the library's ten attempts waits, 0.2 s before the next, so that a
# caller hears of trouble before his own patience of 5 s ends: for a free connection, and
# for the table.
CONNECTION_WAIT = 0.1
TABLE_WAIT = 0.2
# Seconds between attempts to connect again; the pool's own go up to a minute.
RECONNECT = 1.0
SAVE_WAIT = 2.0
# Milliseconds after which the server ends a save in the middle of which a process stands
# still and holds the table: of saying nothing, and, where it knows that, of all of it.
STANDSTILL = 5000
KNOWS_TRANSACTION_TIMEOUT = 170_000
# Seconds for which the listener does not listen after a save: of a burst it tells at once that
# it has begun, and then every so often that it goes on.
BURST = 0.005
# Seconds before the listener connects again, and for it to end.
LISTEN_AGAIN = 0.2
JOIN = 2.0

_TABLES = (
    """CREATE TABLE IF NOT EXISTS {schema}.receipts (
        command_id text PRIMARY KEY,
        command text NOT NULL,
        actor text NOT NULL,
        answer bytea NOT NULL,
        number bigint NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS {schema}.handled (
        reaction text PRIMARY KEY,
        service text NOT NULL,
        generation text NOT NULL,
        number bigint NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS {schema}.generation (name text NOT NULL)",
)
# Behind the events of the same save, under the table's lock: the end is the save's own.
_RECEIPT = """
    INSERT INTO {schema}.receipts
    SELECT %s, %s, %s, %s, COALESCE(max(notification_id), 0) FROM {schema}.stored_events
    RETURNING number"""
# What a command says: its events and its receipt, or nothing. Numbers are given out row by
# row, behind the turn, and the turn ends with the commit.
_COMMAND = """
    WITH turn AS MATERIALIZED (
        SELECT pg_advisory_xact_lock(hashtextextended({channel}, 0))
    ), saved AS (
        INSERT INTO {schema}.stored_events (originator_id, originator_version, topic, state)
        SELECT id, version, topic, state
        FROM turn, unnest(%s::text[], %s::bigint[], %s::text[], %b::bytea[])
        WITH ORDINALITY AS said (id, version, topic, state, place)
        ORDER BY place
        RETURNING notification_id
    ), receipt AS (
        INSERT INTO {schema}.receipts
        SELECT %s, %s, %s, %s, max(notification_id) FROM saved
    )
    SELECT array_agg(notification_id ORDER BY notification_id) AS numbers,
        pg_notify({channel}, '')
    FROM saved"""
_EVENTS = """
    SELECT originator_id, originator_version, topic, state FROM {schema}.stored_events
    WHERE originator_id = %s ORDER BY originator_version"""
_ROWS = """
    SELECT notification_id AS id, originator_id, originator_version, topic, state
    FROM {schema}.stored_events WHERE notification_id = ANY(%s) ORDER BY notification_id"""
_FIRST_HANDLED = "INSERT INTO {schema}.handled VALUES (%s, %s, %s, %s) RETURNING number"
_NEXT_HANDLED = """
    UPDATE {schema}.handled SET service = %s, generation = %s, number = %s
    WHERE reaction = %s AND service = %s AND generation = %s AND number = %s
    RETURNING number"""

log = structlog.get_logger()

# What the library does with its own questions.
_insisting = retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)


class _Datastore(PostgresDatastore):
    """The library's, with a pool that takes the whole URL, its TLS settings too."""

    def __init__(self, where: Postgres, connections: int) -> None:
        super().__init__(
            dbname="",
            host="",
            port="",
            user="",
            password="",
            schema=where.schema,
            lock_timeout=TABLE_WAIT,  # type: ignore[arg-type] # it goes into a text
            originator_id_type="text",
        )
        self.pool = psycopg_pool.ConnectionPool(  # type: ignore[assignment] # the library's adds a way to ask for passwords
            where.conninfo,
            connection_class=Connection[DictRow],
            kwargs={"row_factory": dict_row},
            min_size=connections,
            max_size=MOST_CONNECTIONS,
            open=False,
            configure=self.after_connect_func(),
            timeout=CONNECTION_WAIT,
            reconnect_timeout=RECONNECT,
        )

    @_insisting
    def register_type_adapters(self) -> None:
        """Learn of the types that are the schema's own: what is asked of it first."""
        super().register_type_adapters()

    def after_connect_func(self) -> Callable[[Connection[Any]], None]:
        """Return what makes a new connection ready."""
        make_ready = super().after_connect_func()

        def after_connect(connection: Connection[Any]) -> None:
            make_ready(connection)
            settings = {
                "idle_in_transaction_session_timeout": STANDSTILL,
                "lock_timeout": int(TABLE_WAIT * 1000),
            }
            if connection.info.server_version >= KNOWS_TRANSACTION_TIMEOUT:
                settings["transaction_timeout"] = STANDSTILL
            connection.execute(";".join(f"SET {name} = {ms}" for name, ms in settings.items()))

        return after_connect

    @contextlib.contextmanager
    def get_connection(self) -> Iterator[Connection[DictRow]]:
        """Give a connection, and close it when anything fails.

        Of statements in a pipeline that failed nobody knows which the server has
        prepared; the client would take them all for prepared.
        """
        with super().get_connection() as connection:
            try:
                yield connection
            except BaseException:
                connection.close()
                raise


class PostgresRecorder(PostgresApplicationRecorder, Recorder):
    """The recorder of one service in one schema; any number of processes share it.

    Raises NotMigratedError where `migrate` has not been run, and at first
    DatabaseUnreachableError, later the library's OperationalError, while the database
    cannot be reached.
    """

    def __init__(self, where: Postgres, *, migrate: bool = False) -> None:
        self._where = where
        self._closed = threading.Event()
        self._saving = threading.BoundedSemaphore(SAVES_AT_ONCE)
        self._listener: threading.Thread | None = None
        # Closed to wake the listener, which waits for this as well as for the server.
        self._listening: socket.socket | None = None
        with contextlib.ExitStack() as opened:
            try:
                self._open(opened, migrate=migrate)
            except (InterfaceError, OperationalError, psycopg.OperationalError) as error:
                raise DatabaseUnreachableError(str(error)) from error
            opened.pop_all()

    def _open(self, opened: contextlib.ExitStack, *, migrate: bool) -> None:
        if not migrate:  # which has a connection of its own already
            # The pool would not say why it cannot connect.
            self._where.connect().close()
        datastore = _Datastore(self._where, 1 if migrate else CONNECTIONS)
        opened.callback(datastore.close)
        datastore.pool.open(wait=True)
        super().__init__(datastore)
        # One channel a schema, not one a database.
        self.channel_name = f"{self._where.schema}_saved"
        self._save_command = self._sql(_COMMAND)
        # The function without the lock is not even made.
        self.sql_create_statements.pop(self.create_insert_function_statement_index)
        self.sql_create_statements += [
            SQL(statement).format(schema=Identifier(self._where.schema)) for statement in _TABLES
        ]
        self.sql_create_statements.append(
            SQL(quarantine.MAKE).format(
                table=Identifier(self._where.schema, quarantine.TABLE), bytes=SQL("bytea")
            )
        )
        if migrate:
            self.create_table()
        generation = self._generation()
        if generation is None:
            if not migrate:  # two replicas would make one each
                raise NotMigratedError(self._where)
            generation = self.begin_new_generation()
        self.generation = generation

    @_insisting
    def create_table(self) -> None:
        """Make what is missing."""
        super().create_table()

    @classmethod
    def migrate(cls, where: Postgres) -> None:
        """Make what is missing; harmless to repeat, and one process does it at a time."""
        with migrating(where):
            cls(where, migrate=True).close()

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ANN401 - the library's own
    ) -> Sequence[int] | None:
        """Save all or nothing; raises OperationalError when too many wait to save."""
        if not self._saving.acquire(timeout=SAVE_WAIT):
            message = "too many wait to save"
            raise OperationalError(message)
        alongside: Alongside = kwargs.get("alongside", NOTHING)
        numbers: Sequence[int] | None
        try:
            if stored_events and alongside.receipt is not None:
                numbers = self._insert_command(stored_events, alongside.receipt)
            else:
                numbers = super().insert_events(stored_events, **kwargs)
        finally:
            self._saving.release()
        return numbers

    @_insisting
    def _insert_command(self, said: Sequence[StoredEvent], receipt: Receipt) -> Sequence[int]:
        values = (
            [event.originator_id for event in said],
            [event.originator_version for event in said],
            [event.topic for event in said],
            [event.state for event in said],
            *(receipt.command_id, receipt.command, receipt.actor, receipt.answer),
        )
        with self.datastore.get_connection() as connection:
            [row] = connection.execute(self._save_command, values, prepare=True).fetchall()
        numbers: Sequence[int] = row["numbers"]
        return numbers

    def _insert_events(
        self,
        curs: Cursor[DictRow],
        stored_events: Sequence[StoredEvent],
        *,
        alongside: Alongside = NOTHING,
        **_: Any,  # noqa: ANN401 - the library passes what it does not use itself
    ) -> None:
        if not stored_events:
            self._insert_alongside(curs, alongside)
            # A reaction without events has its waiters too.
            self._notify_channel(curs)

    def _insert_stored_events(
        self,
        curs: Cursor[DictRow],
        stored_events: Sequence[StoredEvent],
        *,
        alongside: Alongside = NOTHING,
        **_: Any,  # noqa: ANN401 - the library passes what it does not use itself
    ) -> None:
        super()._insert_stored_events(curs, stored_events)
        # Not on the same cursor: the numbers of the events are still to be fetched from it.
        with curs.connection.cursor() as other:
            self._insert_alongside(other, alongside)

    def _insert_alongside(self, curs: Cursor[DictRow], alongside: Alongside) -> None:
        receipt, handled = alongside.receipt, alongside.handled
        if receipt is not None:
            curs.execute(
                self._sql(_RECEIPT),
                (receipt.command_id, receipt.command, receipt.actor, receipt.answer),
            )
            # Fetched, so that a second receipt is an error here and not at the end.
            curs.fetchone()
        execute = functools.partial(self._execute, curs)
        if alongside.set_aside is not None:
            quarantine.put_in(execute, alongside.set_aside)
        if handled is not None and handled.again is not None:
            if not quarantine.take_out(execute, handled.reaction, handled.again):
                raise IntegrityError(handled.again)
        elif handled is not None:
            position = _columns(handled.position)
            if handled.after is None:
                curs.execute(self._sql(_FIRST_HANDLED), (handled.reaction, *position))
            else:
                curs.execute(
                    self._sql(_NEXT_HANDLED),
                    (*position, handled.reaction, *_columns(handled.after)),
                )
            if curs.fetchone() is None:
                raise IntegrityError(handled.reaction)

    def receipt(self, command_id: str) -> Receipt | None:
        """Return what the command answered, if it was ever done."""
        rows = self._select("SELECT * FROM {schema}.receipts WHERE command_id = %s", command_id)
        return Receipt(**rows[0]) if rows else None

    def handled(self, reaction: str) -> Position | None:
        """Return how far the reaction has come, or None before its first event."""
        rows = self._select(
            "SELECT service, generation, number FROM {schema}.handled WHERE reaction = %s", reaction
        )
        return Position(**rows[0]) if rows else None

    @_insisting
    def ask_quarantine(
        self, statement: LiteralString, values: Sequence[Any]
    ) -> Sequence[Sequence[Any]]:
        """Read what is set aside, outside of any save; see `quarantine.Execute`."""
        with self.datastore.transaction(commit=False) as cursor:
            return self._execute(cursor, statement, values)

    def events_of(self, aggregate_id: str) -> Sequence[StoredEvent]:
        """Return an aggregate's events, in their order."""
        return [StoredEvent(**row) for row in self._select(_EVENTS, aggregate_id)]

    @_insisting
    def rows_of(self, numbers: Sequence[int]) -> Sequence[Notification]:
        """Return the events of these numbers, in the order of the log; none for an unknown one."""
        with self.datastore.get_connection() as connection:
            rows = connection.execute(self._sql(_ROWS), (list(numbers),)).fetchall()
        return [Notification(**row | {"state": bytes(row["state"])}) for row in rows]

    def end(self) -> int:
        """Return the number of the last event, 0 in an empty store."""
        return self.max_notification_id() or 0

    @_insisting
    def begin_new_generation(self) -> str:
        """Declare this store another life than the one its stream was filled from.

        No process may be running on the store: each keeps the name it started with.
        """
        self.generation = secrets.token_hex(8)
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(self._sql("DELETE FROM {schema}.generation"))
            cursor.execute(
                self._sql("INSERT INTO {schema}.generation VALUES (%s)"), (self.generation,)
            )
        return self.generation

    def watch(self, saved: Callable[[], None]) -> None:
        """Call `saved`, on a thread of its own, whenever any process has saved, until closed."""
        self._listening, ended = socket.socketpair()
        self._listener = threading.Thread(
            target=self._listen, args=(saved, ended), name="listen", daemon=True
        )
        self._listener.start()

    def close(self) -> None:
        """Close every connection."""
        self._closed.set()
        if self._listener is not None and self._listening is not None:
            self._listening.close()
            # A server that hangs may keep it; it ends with the process.
            self._listener.join(JOIN)
        self.datastore.close()

    def _listen(self, saved: Callable[[], None], ended: socket.socket) -> None:
        with ended:
            while not self._closed.is_set():
                try:
                    with self._where.connect() as connection:
                        connection.execute(SQL("LISTEN {}").format(Identifier(self.channel_name)))
                        saved()  # whatever it was that nobody listened to
                        self._hear(connection, saved, ended)
                except psycopg.Error as error:
                    log.info("store_listener_retries", error=type(error).__name__)
                    self._closed.wait(LISTEN_AGAIN)

    def _hear(
        self, connection: Connection[Any], saved: Callable[[], None], ended: socket.socket
    ) -> None:
        with selectors.DefaultSelector() as either:
            either.register(connection, selectors.EVENT_READ)
            either.register(ended, selectors.EVENT_READ)
            while not self._closed.is_set():
                either.select()
                if list(connection.notifies(timeout=0)):
                    saved()
                    self._closed.wait(BURST)

    @_insisting
    def _select(self, statement: LiteralString, value: str) -> Sequence[dict[str, Any]]:
        with self.datastore.get_connection() as connection:
            return connection.execute(self._sql(statement), (value,), prepare=True).fetchall()

    def _execute(
        self, curs: Cursor[DictRow], statement: LiteralString, values: Sequence[Any]
    ) -> Sequence[Sequence[Any]]:
        table = Identifier(self._where.schema, quarantine.TABLE)
        curs.execute(SQL(statement.replace("?", "%s")).format(table=table), values)
        return [tuple(row.values()) for row in curs.fetchall()]

    @_insisting
    def _generation(self) -> str | None:
        try:
            with self.datastore.cursor() as cursor:
                row = cursor.execute(self._sql("SELECT name FROM {schema}.generation")).fetchone()
        except ProgrammingError as error:
            raise NotMigratedError(self._where) from error
        return None if row is None else str(row["name"])

    @functools.cache  # noqa: B019 - a few statements, for as long as the store
    def _sql(self, statement: LiteralString) -> bytes:
        """Return it as the driver remembers it best."""
        schema, channel = Identifier(self._where.schema), Literal(self.channel_name)
        return SQL(statement).format(schema=schema, channel=channel).as_bytes()


def _columns(position: Position) -> tuple[str, str, int]:
    return position.service, position.generation, position.number
