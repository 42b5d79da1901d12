"""Commands on aggregates: load, decide, save, answer; the same once or ten times.

An aggregate is a state and a pure `evolve(state, event)`. A command is a method
of a service's application that gets a `Work`, loads what it needs, records what
has happened and returns its answer; `@command` does the rest.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    get_type_hints,
)

import msgspec
import structlog
from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    InternalError,
    Notification,
    OperationalError,
    StoredEvent,
)

from chargekey_common import tracing
from chargekey_common.errors import InvalidArgumentError, UnavailableError
from chargekey_common.eventstore import quarantine
from chargekey_common.eventstore.mapper import RecordMapper, Seal
from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.eventstore.recorder import ERRORS, Alongside, Handled, Receipt, Recorder
from chargekey_common.eventstore.records import DomainEvent, Record, new_id
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres

if TYPE_CHECKING:
    from chargekey_common.eventstore.postgres import PostgresRecorder

MAX_ATTEMPTS = 8
MAX_COMMAND_ID = 128
# It travels in a header of every event it causes.
_COMMAND_ID = re.compile(rf"[!-~]{{1,{MAX_COMMAND_ID}}}")

State = TypeVar("State")
Event = TypeVar("Event", bound=DomainEvent)
Result = TypeVar("Result")
P = ParamSpec("P")

Logged = tuple[int, Record, Notification]
"""An event's number in the log, its record, and the row that it is stored as."""

_ERRORS = ERRORS.labels("events")

log = structlog.get_logger()


class CommandIdReusedError(InvalidArgumentError):
    """The id belongs to another command, or to somebody else's."""

    code = "command_id_reused"
    sentence = "This command_id was used for another command; make a new one."


class CommandIdMalformedError(InvalidArgumentError):
    """Not an id anyone could remember a command by."""

    code = "command_id_malformed"
    sentence = f"A command_id has 1 to {MAX_COMMAND_ID} characters of ASCII without spaces."


class ContendedError(UnavailableError):
    """Others were faster, every time."""

    code = "contended"
    sentence = "Others are changing the same thing right now; try again."


class StoreUnavailableError(UnavailableError):
    """The store is locked, out of reach or its disk is full; nothing was stored."""

    code = "store_unavailable"
    sentence = "The store cannot be used right now; nothing was changed. Try again in a moment."


class Context(msgspec.Struct, frozen=True):
    """Who asks, and under which id: the actor and cause of every event that follows."""

    actor: str
    command_id: str


class Reaction(msgspec.Struct, frozen=True):
    """Which event of another service is reacted to, by which reaction.

    `event_id` is stable through every refill; `at` (ns) and `actor` are the event's.
    """

    handled: Handled
    event_id: str
    at: int
    actor: str


class Answer(msgspec.Struct, Generic[Result], frozen=True):
    """A command's result, and the position from which its effect is visible."""

    result: Result
    position: Position


class Aggregate(Protocol[State]):
    """How one kind of aggregate comes about from its events."""

    def __call__(self, state: State | None, event: Any, /) -> State:  # noqa: ANN401 - its own union of events
        """Return the state after `event`; the first event meets None."""


class Loaded(msgspec.Struct, Generic[State], frozen=True):
    """An aggregate as of `version`; version 0 and no state when nothing happened yet."""

    id: str
    version: int
    state: State | None


class Work:
    """One attempt at a command: reads go to the store, events wait here for the save."""

    def __init__(self, store: EventStore, actor: str, cause: str) -> None:
        self._store = store
        self.actor = actor
        self.cause = cause
        self.trace = tracing.current()
        self.at = time.time_ns()
        self.records: list[Record] = []
        self._versions: dict[str, int] = {}

    def load(self, evolve: Aggregate[State], aggregate_id: str) -> Loaded[State]:
        """Return the aggregate with everything recorded so far, this attempt's events excluded."""
        loaded = self._store.load(evolve, aggregate_id)
        self._versions.setdefault(aggregate_id, loaded.version)
        return loaded

    def begin(self) -> Loaded[Any]:
        """Return an aggregate that nobody has begun yet, with an id of its own."""
        begun: Loaded[Any] = Loaded(new_id(), 0, None)
        self._versions[begun.id] = begun.version
        return begun

    def record(self, aggregate: Loaded[Any], *events: DomainEvent) -> None:
        """Put events behind the aggregate's last; they are saved together or not at all."""
        for event in events:
            version = self._versions[aggregate.id] + 1
            self._versions[aggregate.id] = version
            self.records.append(
                Record(aggregate.id, version, self.at, self.cause, self.actor, event, self.trace)
            )


class EventStore:
    """One service's events, receipts and reaction positions. Blocking: call it from threads."""

    def __init__(
        self,
        service: str,
        where: Path | Postgres,
        events: Iterable[type[DomainEvent]],
        seal: Seal | None = None,
    ) -> None:
        self.service = service
        self._records = RecordMapper(service, events, seal)
        self._listeners: list[Callable[[Sequence[Logged]], None]] = []
        self.recorder = _recorder(where)
        self.recorder.watch(functools.partial(self._tell_listeners, ()))

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables that are missing; raises DatabaseUnreachableError."""
        _postgres_recorder().migrate(where)

    def close(self) -> None:
        """Close every connection, and a file for another process to open."""
        self.recorder.close()

    def on_saved(self, listener: Callable[[Sequence[Logged]], None]) -> None:
        """Call `listener`, on any thread, after each save, with the events that were saved.

        With none where another process saved them, and now and then for nothing. Of two saves at
        the same time the later one's may come first.
        """
        self._listeners.append(listener)

    def position(self, number: int | None = None) -> Position:
        """Return the position of an event's number, or of the log's end."""
        end = self.end() if number is None else number
        return Position(self.service, self.recorder.generation, end)

    def end(self) -> int:
        """Return the number of the last event, 0 in an empty store."""
        with self._reachable():
            return self.recorder.end()

    def handled(self, reaction: str) -> Position | None:
        """Return how far the reaction has come, or None before its first event."""
        with self._reachable():
            return self.recorder.handled(reaction)

    def load(self, evolve: Aggregate[State], aggregate_id: str) -> Loaded[State]:
        """Return the aggregate from its events."""
        version, state = 0, None
        for stored in self._stored(aggregate_id):
            state = evolve(state, self._records.to_record(stored).event)
            version = stored.originator_version
        return Loaded(aggregate_id, version, state)

    def records(self, aggregate_id: str) -> Sequence[Record]:
        """Return an aggregate's events, in their order."""
        return [self._records.to_record(stored) for stored in self._stored(aggregate_id)]

    def read(self, after: int, limit: int) -> Sequence[Logged]:
        """Return up to `limit` events behind number `after`, in the order of the log."""
        return [(row.id, self.record(row), row) for row in self.rows(after, limit)]

    def rows(self, after: int, limit: int) -> Sequence[Notification]:
        """Return the same, as they are stored and unread."""
        with self._reachable():
            return self.recorder.select_notifications(after, limit, inclusive_of_start=False)

    def rows_of(self, numbers: Sequence[int]) -> Sequence[Notification]:
        """Return the rows of these numbers, in the order of the log; none for an unknown one."""
        with self._reachable():
            return self.recorder.rows_of(numbers)

    def record(self, row: Notification, *, personal: bool = True) -> Record:
        """Read a row; raises UnknownTopicError, msgspec.DecodeError or what the seal raises.

        Not `personal`, what is sealed stays so, and its fields are empty.
        """
        return self._records.to_record(row, personal=personal)

    def execute(
        self,
        name: str,
        result_type: Callable[[], Any],
        context: Context,
        decide: Callable[[Work], Result],
    ) -> Answer[Result]:
        """Run a command once and for all; see `command`."""
        command_id = context.command_id
        if _COMMAND_ID.fullmatch(command_id) is None:
            raise CommandIdMalformedError
        for _ in range(MAX_ATTEMPTS):
            with self._reachable():
                done = self.recorder.receipt(command_id)
            if done is not None:
                # Ids are published as causes, and an answer may be for its caller alone.
                if (done.command, done.actor) != (name, context.actor):
                    raise CommandIdReusedError
                result = msgspec.json.decode(done.answer, type=result_type())
                return Answer(result, self.position(done.number))
            work = Work(self, context.actor, command_id)
            result = decide(work)
            receipt = Receipt(command_id, name, context.actor, msgspec.json.encode(result))
            numbers = self._save(work, Alongside(receipt=receipt))
            if numbers:
                return Answer(result, self.position(numbers[-1]))
            # Without an event the receipt knows the position that every repetition gets.
        raise ContendedError

    def react(self, reaction: Reaction, decide: Callable[[Work], None]) -> Position:
        """Save an effect together with the position of the event it follows from.

        An event at or before the position handled last does nothing: this is what
        makes a redelivered or refilled stream harmless.
        """
        return self._handle(reaction.handled, reaction.event_id, decide)

    def set_aside(self, event: SetAside) -> None:
        """Set an event aside, together with its position handled; never twice."""
        handled = Handled(event.reaction, event.position)
        self._handle(handled, event.event_id, lambda _: None, event)

    def holds(self, reaction: str, about: str) -> bool:
        """Return whether an event about this is set aside."""
        with self._reachable():
            return quarantine.holds(self.recorder.ask_quarantine, reaction, about)

    def set_aside_for(self, reaction: str) -> Sequence[SetAside]:
        """Return what the reaction has set aside, in the order it came."""
        with self._reachable():
            return quarantine.waiting(self.recorder.ask_quarantine, reaction)

    def _handle(
        self,
        handled: Handled,
        event_id: str,
        decide: Callable[[Work], None],
        set_aside: SetAside | None = None,
    ) -> Position:
        for _ in range(MAX_ATTEMPTS):
            last = self.handled(handled.reaction)
            if self._is_done(handled, last):
                return self.position()
            work = Work(self, handled.reaction, event_id)
            decide(work)
            now = msgspec.structs.replace(handled, after=last)
            numbers = self._save(work, Alongside(handled=now, set_aside=set_aside))
            if numbers is not None:
                return self.position(numbers[-1] if numbers else None)
        raise ContendedError

    def _is_done(self, handled: Handled, last: Position | None) -> bool:
        if handled.again is None:
            return last is not None and last.includes(handled.position)
        with self._reachable():
            ask = self.recorder.ask_quarantine
            return not quarantine.has(ask, handled.reaction, handled.again)

    def _stored(self, aggregate_id: str) -> Sequence[StoredEvent]:
        with self._reachable():
            return self.recorder.events_of(aggregate_id)

    def _save(self, work: Work, alongside: Alongside) -> Sequence[int] | None:
        """Save, and return the events' numbers; None when another writer was first.

        Then the command must look again. That writer may have been this very save, on a
        connection that broke before its answer: the receipt, or the position handled, is
        found there.
        """
        stored = [self._records.to_stored_event(record) for record in work.records]
        try:
            with self._reachable():
                numbers = self.recorder.insert_events(stored, alongside=alongside)
        except IntegrityError:
            return None
        self._tell_listeners(
            [
                (number, record, _row(number, event))
                for number, record, event in zip(numbers or (), work.records, stored, strict=True)
            ]
        )
        return numbers or ()

    def _tell_listeners(self, saved: Sequence[Logged]) -> None:
        for listener in self._listeners:
            listener(saved)

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        # A server that only reads, as after a failover, is an internal error to psycopg.
        except (InterfaceError, InternalError, OperationalError) as error:
            _ERRORS.inc()
            # Databases name the trouble here, never a value.
            log.error("store_unavailable", service=self.service, error=str(error))  # noqa: TRY400 - nobody's bug to trace
            raise StoreUnavailableError from error


def _row(number: int, event: StoredEvent) -> Notification:
    return Notification(
        id=number,
        originator_id=event.originator_id,
        originator_version=event.originator_version,
        topic=event.topic,
        state=event.state,
    )


# Imported by who has such a store: many know the words of this module and have none, and what
# a database needs is a third of their start.
def _recorder(where: Path | Postgres) -> Recorder:
    if isinstance(where, Postgres):
        return _postgres_recorder()(where)
    from chargekey_common.eventstore.sqlite import SQLiteRecorder  # noqa: PLC0415 - as above

    return SQLiteRecorder(where)


def _postgres_recorder() -> type[PostgresRecorder]:
    from chargekey_common.eventstore.postgres import PostgresRecorder  # noqa: PLC0415 - as above

    return PostgresRecorder


class HasStore(Protocol):
    """An application: commands in front of a store."""

    @property
    def store(self) -> EventStore:
        """Where its events are."""


App = TypeVar("App", bound=HasStore)


def command(
    method: Callable[Concatenate[App, Work, P], Result],
) -> Callable[Concatenate[App, Context, P], Answer[Result]]:
    """Make a command of a method that decides.

    The method may run several times: each time another writer was first, it
    decides again from a fresh read. A command id that was done before answers the
    same caller as it did then, from the receipt, which therefore must hold nothing
    secret.
    Raises what the method raises, `command_id_reused`, `contended` or
    `store_unavailable`; then nothing is stored.
    """
    name = method.__name__

    @functools.cache  # not at once: what it returns may be named before it is there
    def result_type() -> Any:  # noqa: ANN401 - whatever msgspec can decode
        return get_type_hints(method)["return"]

    @functools.wraps(method)
    def run(self: App, context: Context, /, *args: P.args, **kwargs: P.kwargs) -> Answer[Result]:
        return self.store.execute(
            name, result_type, context, lambda work: method(self, work, *args, **kwargs)
        )

    return run
