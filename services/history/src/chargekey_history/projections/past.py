"""The past in tables: sessions and refusals with what was decided from, and a bookmark.

Nothing here is an original: without the tables, or with those of another schema, the
stream is read from its beginning and makes the same rows again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, assert_never

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Index,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    union,
    update,
)

from chargekey_common import database
from chargekey_common.database import ID, Database, DatabaseUnavailableError, columns
from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    Inputs,
    SessionCorrected,
    SessionEnded,
    SessionStarted,
    SessionUpdated,
    StartRefused,
)
from chargekey_history.errors import HistoryUnavailableError

# Another number makes everything be filled anew; change it with the tables.
SCHEMA = 5
_MOST_WATT_HOURS = 2**63 - 1  # what the protocol carries

_RUNNING = text("ended_at IS NULL")
_TABLES = MetaData()
_SESSIONS = Table(
    "sessions",
    _TABLES,
    Column("id", ID, primary_key=True),
    Column("transaction_id", BigInteger, nullable=False),
    Column("installation_id", ID, nullable=False),
    Column("charger_id", ID, nullable=False),
    Column("connector", BigInteger, nullable=False),
    Column("user_id", ID),
    Column("identification_id", ID),
    Column("reason", Text),
    Column("status", Text),
    Column("started_at", BigInteger),
    Column("meter_start", BigInteger),
    Column("offline", Boolean, nullable=False, default=False),
    Column("ocpp_transaction_id", Text),
    Column("inputs", Text),
    Column("last_updated_at", BigInteger),
    Column("meter_last", BigInteger),
    Column("power", BigInteger),
    Column("end_reason", Text),
    Column("ended_at", BigInteger),
    Column("meter_stop", BigInteger),
    Column("presumed", Boolean, nullable=False, default=False),
    Column("messages_missing", BigInteger, nullable=False, default=0),
    # By the gateway's clock: chargers' clocks stand in 1970, too.
    Column("end_told_at", BigInteger),
    Index("sessions_by_time", "started_at"),
    # Few run of those that there are.
    Index("sessions_running", "started_at", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
    Index("sessions_by_end_told", "end_told_at"),
    # Those that run have no end.
    Index("sessions_of_installation_by_end", "installation_id", "ended_at", "started_at"),
    Index("sessions_of_installation", "installation_id", "started_at"),
    Index("sessions_of_charger", "charger_id", "started_at"),
    Index("sessions_of_user", "user_id", "started_at"),
    # Left to choose between those of the site and those of its charger, SQLite walks the site.
    Index("sessions_of_charger_at_installation", "installation_id", "charger_id", "started_at"),
    Index("sessions_of_user_at_installation", "installation_id", "user_id", "started_at"),
    sqlite_with_rowid=False,
)
_REFUSALS = Table(
    "refusals",
    _TABLES,
    Column("id", ID, primary_key=True),
    Column("installation_id", ID, nullable=False),
    Column("charger_id", ID, nullable=False),
    Column("user_id", ID),
    Column("identification_id", ID),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("offline", Boolean, nullable=False),
    Column("inputs", Text, nullable=False),
    # Of a start alone. Its end stands among the sessions, where energy flowed all the same.
    Column("session_id", ID),
    Column("started_at", BigInteger),
    Column("meter_start", BigInteger),
    Index("refusals_by_time", "at"),
    Index("refusals_by_session", "session_id"),
    Index("refusals_of_installation", "installation_id", "at"),
    Index("refusals_of_charger", "charger_id", "at"),
    Index("refusals_of_user", "user_id", "at"),
    sqlite_with_rowid=False,
)
# One row, locked by whoever writes. `filling` names the tables' life since they were
# last empty: whoever has read on from another one's bookmark knows rows that are gone.
_BOOKMARK = Table(
    "bookmark",
    _TABLES,
    Column("schema", BigInteger, nullable=False),
    Column("filling", Text, nullable=False),
    Column("made", Text),
    Column("sequence", BigInteger, nullable=False),
)

_REFUSED = _REFUSALS.c.session_id == _SESSIONS.c.id

_FILLING = select(_BOOKMARK.c.schema, _BOOKMARK.c.filling)
_READ_SO_FAR = select(_BOOKMARK.c.made, _BOOKMARK.c.sequence)
_LOCKED = select(_BOOKMARK).with_for_update()

Event: TypeAlias = (
    SessionStarted
    | SessionUpdated
    | SessionEnded
    | SessionCorrected
    | StartRefused
    | AuthorizationRefused
)


class Fact(msgspec.Struct, frozen=True):
    """An event of the stream: its CloudEvents id, its time (ns), its sequence."""

    event: Event
    id: str
    at: int
    sequence: int


class Bookmark(msgspec.Struct, frozen=True):
    """How far which stream has been read; `made` tells it from another of its name."""

    made: str | None = None
    sequence: int = 0


Place: TypeAlias = tuple[int | str, ...]
"""Where an entry stands in its list, which goes down by this: equal for one entry only."""


def delivered(meter_start: int, meter_stop: int) -> int:
    """Return watt-hours; a meter that ran backwards delivered nothing."""
    return min(max(meter_stop - meter_start, 0), _MOST_WATT_HOURS)


class Session(msgspec.Struct, frozen=True):
    """A session whose start is known. Times in nanoseconds since the epoch.

    `meter_last` (Wh) and `power` (W) are what its meter said at `last_updated_at`, while
    it ran. `presumed` where the end is the gateway's conclusion.
    """

    id: str
    transaction_id: int
    installation_id: str
    charger_id: str
    connector: int
    user_id: str | None
    identification_id: str | None
    reason: str
    started_at: int
    end_reason: str | None
    ended_at: int | None
    meter_start: int
    meter_stop: int | None
    meter_last: int | None
    power: int | None
    last_updated_at: int | None
    offline: bool
    presumed: bool
    messages_missing: int
    ocpp_transaction_id: str | None

    @property
    def energy_wh(self) -> int | None:
        """What was delivered, so far where it runs; None where nothing is known of it.

        A meter that ran backwards delivered nothing.
        """
        meter = self.meter_last if self.meter_stop is None else self.meter_stop
        return None if meter is None else delivered(self.meter_start, meter)

    @property
    def place(self) -> Place:
        """By its start, the transaction id among those that started at once."""
        return self.started_at, self.transaction_id, self.id


class Refusal(msgspec.Struct, frozen=True):
    """A tap, or a start, that was refused; `at` by the gateway's clock (ns).

    Of a start there is `meter_start` (Wh), and `meter_stop` where energy flowed all the same.
    """

    id: str
    installation_id: str
    charger_id: str
    user_id: str | None
    identification_id: str | None
    status: str
    reason: str
    at: int
    stage: str
    offline: bool
    meter_start: int | None
    meter_stop: int | None

    @property
    def energy_wh(self) -> int | None:
        """What flowed all the same; None where nothing did."""
        if self.meter_start is None or self.meter_stop is None:
            return None
        return delivered(self.meter_start, self.meter_stop)

    @property
    def place(self) -> Place:
        """By its time."""
        return self.at, self.id


class Decided(msgspec.Struct, frozen=True):
    """What was decided of a start or a tap, as it was recorded; `inputs` are its inputs' JSON."""

    id: str
    installation_id: str
    charger_id: str
    user_id: str | None
    identification_id: str | None
    stage: str
    status: str
    reason: str
    inputs: str


class Charge(msgspec.Struct, frozen=True):
    """An ended session, or a refused start with energy, as far as reports add it up.

    Times in nanoseconds since the epoch.
    """

    charger_id: str
    user_id: str | None
    identification_id: str | None
    started_at: int
    ended_at: int
    meter_start: int
    meter_stop: int
    offline: bool


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Which ended sessions: an installation's, that ended `since` then and `before` then.

    In nanoseconds since the epoch by the charger's clock; without either, all. An empty
    `charger_id` or `user_id` narrows nothing.
    """

    installation_id: str
    since: int | None = None
    before: int | None = None
    charger_id: str = ""
    user_id: str = ""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries, newest first: those that match everything given, `limit` at most.

    `behind` is the place of an entry: only what comes after it in the list.
    """

    installation_id: str = ""
    charger_id: str = ""
    user_id: str = ""
    running_only: bool = False
    limit: int
    behind: Place = ()


class FilledAnewError(Exception):
    """The tables were emptied for another version, or by hand: this process has to start again."""


class Past:
    """Safe from any thread; blocking. Reads never wait for writes.

    On PostgreSQL several replicas keep one past: each reads the stream and writes what
    the others have not. `lock_timeout` is how long to wait for one that is writing, in
    seconds.
    """

    def __init__(self, where: Path | Postgres, *, lock_timeout: float = 5.0) -> None:
        self._db = Database(where, _TABLES, make=_make_tables, lock_timeout=lock_timeout)
        self._statements = _Statements(self._db)
        with self._db.reading() as connection:
            schema, self._filling = connection.execute(_FILLING).one()
        if isinstance(where, Postgres) and schema != SCHEMA:
            self._db.close()
            raise NotMigratedError(where)

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, empty, where this version's are not there yet; harmless to repeat.

        Replicas of another version that still run end, and find these when they start.
        """
        database.migrate(where, _TABLES, _make_tables)

    def close(self) -> None:
        """Close the database, once what runs in it has ended."""
        self._db.close()

    def bookmark(self) -> Bookmark:
        """Return how far the rows go; raises HistoryUnavailableError."""
        return Bookmark(*self._select(_READ_SO_FAR)[0])

    def apply(
        self,
        facts: Sequence[Fact],
        bookmark: Bookmark,
        *,
        starting_over: bool = False,
        forgotten_before: int | None = None,
    ) -> None:
        """Write what happened and how far that is, all or nothing.

        What the bookmark is past already was written by another replica and is left
        out, and the bookmark stays: it goes back for another stream alone, or for one
        that lost its tail, whose reader is `starting_over`.
        What was told to have ended `forgotten_before` then is gone when this returns (see
        `forget`), so filling the tables anew does not bring it back.
        Raises DatabaseUnavailableError, and FilledAnewError when the tables were
        emptied since this past was opened: then nothing here may go on.
        """
        with self._db.writing() as connection:
            known = self._lock(connection)
            if not starting_over and known.made == bookmark.made:
                facts = [fact for fact in facts if fact.sequence > known.sequence]
                if bookmark.sequence <= known.sequence:
                    return
            self._statements.write(connection, facts)
            if forgotten_before is not None:
                _forget(connection, forgotten_before)
            connection.execute(
                update(_BOOKMARK).values(made=bookmark.made, sequence=bookmark.sequence)
            )

    def forget(self, before: int) -> int:
        """Remove the sessions whose end was told, and the refusals, before then; return how many.

        `before` is in nanoseconds since the epoch. Raises like `apply`.
        """
        with self._db.writing() as connection:
            self._lock(connection)
            return _forget(connection, before)

    def _lock(self, connection: Connection) -> Row[Any]:
        """Let no other replica write; return the bookmark."""
        known = connection.execute(_LOCKED).one()
        if (known.schema, known.filling) != (SCHEMA, self._filling):
            raise FilledAnewError
        return known

    def sessions(self, wanted: Filter) -> Sequence[Session]:
        """Return sessions; raises HistoryUnavailableError."""
        # A session whose start is not known (yet) cannot be told about: neither since
        # when nor why.
        conditions = [_SESSIONS.c.started_at.is_not(None)]
        if wanted.running_only:
            conditions.append(_SESSIONS.c.ended_at.is_(None))
        found = _wanted(
            select(*(_SESSIONS.c[name] for name in Session.__struct_fields__)).where(*conditions),
            wanted,
            _SESSIONS,
            ("started_at", "transaction_id", "id"),
        )
        return [Session(*row) for row in self._select(found)]

    def refusals(self, wanted: Filter) -> Sequence[Refusal]:
        """Return refusals; raises HistoryUnavailableError."""
        found = _wanted(
            select(
                *(_REFUSALS.c[name] for name in Refusal.__struct_fields__[:-1]),
                _SESSIONS.c.meter_stop,
            ).select_from(_REFUSALS.outerjoin(_SESSIONS, _REFUSED)),
            wanted,
            _REFUSALS,
            ("at", "id"),
        )
        return [Refusal(*row) for row in self._select(found)]

    def decided(self, entry_id: str) -> Decided | None:
        """Return what was decided, of a session or a refusal; raises HistoryUnavailableError."""
        start = select(
            *(_SESSIONS.c[name] for name in Decided.__struct_fields__[:5]),
            literal("start"),
            *(_SESSIONS.c[name] for name in Decided.__struct_fields__[6:]),
        ).where(_SESSIONS.c.id == entry_id, _SESSIONS.c.started_at.is_not(None))
        refused = select(*(_REFUSALS.c[name] for name in Decided.__struct_fields__)).where(
            _REFUSALS.c.id == entry_id
        )
        for each in (start, refused):
            for row in self._select(each):
                return Decided(*row)
        return None

    def charges(self, period: Period) -> Sequence[Charge]:
        """Return ended sessions, in no order; raises HistoryUnavailableError."""
        found = select(*(_SESSIONS.c[name] for name in Charge.__struct_fields__))
        found = found.where(_SESSIONS.c.started_at.is_not(None), *_ended_in(period))
        return [Charge(*row) for row in self._select(found)]

    def refused_charges(self, period: Period) -> Sequence[Charge]:
        """Return refused starts with energy, by when they ended; like `charges`."""
        of_the_start = ("started_at", "meter_start", "offline")
        found = select(
            *(
                (_REFUSALS if name in of_the_start else _SESSIONS).c[name]
                for name in Charge.__struct_fields__
            )
        ).select_from(_SESSIONS.join(_REFUSALS, _REFUSED))
        return [Charge(*row) for row in self._select(found.where(*_ended_in(period)))]

    def installation_of(self, charger_id: str) -> str | None:
        """Return the one installation the charger's entries are of; None for none or several.

        A charger that moved has entries of several (R11). Raises HistoryUnavailableError.
        """
        both = (
            select(table.c.installation_id).where(table.c.charger_id == charger_id)
            for table in (_SESSIONS, _REFUSALS)
        )
        rows = self._select(union(*both).limit(2))
        return str(rows[0][0]) if len(rows) == 1 else None

    def _select(self, statement: Select[Any] | CompoundSelect[Any]) -> Sequence[Sequence[Any]]:
        try:
            with self._db.reading() as connection:
                return connection.execute(statement).all()
        except DatabaseUnavailableError as error:
            raise HistoryUnavailableError from error


class _Statements:
    """What a fact is written with, made once.

    What was written first stays: a start or an end told again, or told by a stream made
    again with other sequences, is the same fact.
    """

    def __init__(self, db: Database) -> None:
        started = db.insert(_SESSIONS)
        told = ("transaction_id", "user_id", "identification_id", "status", "reason")
        begun = ("started_at", "meter_start", "offline", "ocpp_transaction_id", "inputs")
        self._started = started.on_conflict_do_update(
            index_elements=[_SESSIONS.c.id],
            set_={name: started.excluded[name] for name in (*told, *begun)},
            where=_SESSIONS.c.started_at.is_(None),
        )
        ended = db.insert(_SESSIONS)
        how = ("end_reason", "ended_at", "meter_stop", "presumed", "messages_missing")
        self._ended = ended.on_conflict_do_update(
            index_elements=[_SESSIONS.c.id],
            set_={name: ended.excluded[name] for name in (*how, "end_told_at")},
            where=_SESSIONS.c.ended_at.is_(None),
        )
        # Of sessions whose start was told: what is told of a forgotten one makes no row.
        about = _SESSIONS.c.id == bindparam("session")
        newer = or_(
            _SESSIONS.c.last_updated_at.is_(None),
            _SESSIONS.c.last_updated_at < bindparam("newer"),
        )
        self._updated = update(_SESSIONS).where(about, newer)
        told_at = func.coalesce(_SESSIONS.c.end_told_at, bindparam("told_at"))
        self._corrected = update(_SESSIONS).where(about).values(end_told_at=told_at)
        self._refused = db.insert(_REFUSALS).on_conflict_do_nothing()

    def write(self, connection: Connection, facts: Sequence[Fact]) -> None:
        """Write each kind at once: starts and ends make the same rows in either order.

        What the meter said and what was corrected comes behind the start in the stream,
        and behind starts and ends here.
        """
        starts: list[dict[str, object]] = []
        updates: list[dict[str, object]] = []
        ends: list[dict[str, object]] = []
        corrections: list[dict[str, object]] = []
        refusals: list[dict[str, object]] = []
        for fact in facts:
            event = fact.event
            match event:
                case SessionStarted():
                    starts.append(_start(event, fact.sequence))
                case SessionUpdated():
                    updates.append(_update(event))
                case SessionEnded():
                    ends.append(_end(event, fact.at))
                case SessionCorrected():
                    corrections.append(_correction(event, fact.at))
                case StartRefused():
                    refusals.append(_refusal(fact.id, event, fact.at, "start"))
                case AuthorizationRefused():
                    refusals.append(_refusal(fact.id, event, fact.at, "authorize"))
                case _:
                    assert_never(event)
        for statement, rows in (
            (self._started, starts),
            (self._updated, updates),
            (self._ended, ends),
            (self._corrected, corrections),
            (self._refused, refusals),
        ):
            if rows:
                connection.execute(statement, rows)


def _start(event: SessionStarted, sequence: int) -> dict[str, object]:
    return {
        "id": event.session_id,
        "transaction_id": event.transaction_id or sequence,
        "installation_id": event.installation_id,
        "charger_id": event.charger_id,
        "connector": event.connector,
        "user_id": event.user_id,
        "identification_id": event.identification_id,
        "status": event.status,
        "reason": event.reason,
        "started_at": event.started_at,
        "meter_start": event.meter_start,
        "offline": event.offline,
        "ocpp_transaction_id": event.ocpp_transaction_id,
        "inputs": _written(event.inputs),
    }


def _update(event: SessionUpdated) -> dict[str, object]:
    return {
        "session": event.session_id,
        "newer": event.at,
        "last_updated_at": event.at,
        "meter_last": event.meter,
        "power": event.power,
    }


def _correction(event: SessionCorrected, told_at: int) -> dict[str, object]:
    return {
        "session": event.session_id,
        "told_at": told_at,
        "end_reason": event.reason,
        "ended_at": event.ended_at,
        "meter_stop": event.meter_stop,
        "presumed": False,
    }


def _end(event: SessionEnded, told_at: int) -> dict[str, object]:
    return {
        "id": event.session_id,
        "transaction_id": event.transaction_id,
        "installation_id": event.installation_id,
        "charger_id": event.charger_id,
        "connector": event.connector,
        "user_id": event.user_id,
        "identification_id": event.identification_id,
        "end_reason": event.reason,
        "ended_at": event.ended_at,
        "meter_stop": event.meter_stop,
        "presumed": event.presumed,
        "messages_missing": event.messages_missing,
        "end_told_at": told_at,
    }


def _refusal(
    event_id: str, event: StartRefused | AuthorizationRefused, at: int, stage: str
) -> dict[str, object]:
    start = event if isinstance(event, StartRefused) else None
    return {
        "id": event_id,
        "installation_id": event.installation_id,
        "charger_id": event.charger_id,
        "user_id": event.user_id,
        "identification_id": event.identification_id,
        "status": event.status,
        "reason": event.reason,
        "at": at,
        "stage": stage,
        "offline": start is not None and start.offline,
        "inputs": _written(event.inputs),
        "session_id": start and start.session_id,
        "started_at": start and start.started_at,
        "meter_start": start and start.meter_start,
    }


def _written(inputs: Inputs) -> str:
    return msgspec.json.encode(inputs).decode()


def _forget(connection: Connection, before: int) -> int:
    sessions = connection.execute(delete(_SESSIONS).where(_SESSIONS.c.end_told_at < before))
    refusals = connection.execute(delete(_REFUSALS).where(_REFUSALS.c.at < before))
    return sessions.rowcount + refusals.rowcount


def _ended_in(period: Period) -> Sequence[ColumnElement[bool]]:
    conditions = [
        _SESSIONS.c.installation_id == period.installation_id,
        _SESSIONS.c.ended_at.is_not(None),
    ]
    if period.since is not None:
        conditions.append(_SESSIONS.c.ended_at >= period.since)
    if period.before is not None:
        conditions.append(_SESSIONS.c.ended_at < period.before)
    if period.charger_id:
        conditions.append(_SESSIONS.c.charger_id == period.charger_id)
    if period.user_id:
        conditions.append(_SESSIONS.c.user_id == period.user_id)
    return conditions


def _wanted(found: Select[Any], wanted: Filter, table: Table, place: Sequence[str]) -> Select[Any]:
    """Narrow it to what is wanted, in the order of the places."""
    equal = {
        "installation_id": wanted.installation_id,
        "charger_id": wanted.charger_id,
        "user_id": wanted.user_id,
    }
    found = found.where(*(table.c[column] == value for column, value in equal.items() if value))
    columns = [table.c[name] for name in place]
    if wanted.behind:
        found = found.where(tuple_(*columns) < tuple_(*wanted.behind))
    return found.order_by(*(column.desc() for column in columns)).limit(wanted.limit)


def _make_tables(connection: Connection) -> None:
    """Make the tables, and empty ones in place of another schema's."""
    there = columns(connection, _BOOKMARK)
    if there == {column.name for column in _BOOKMARK.columns}:
        known = connection.execute(_FILLING).first()
        if known is not None and known.schema == SCHEMA:
            return
    _TABLES.drop_all(connection)
    _TABLES.create_all(connection)
    connection.execute(
        insert(_BOOKMARK).values(schema=SCHEMA, filling=secrets.token_hex(8), sequence=0)
    )
