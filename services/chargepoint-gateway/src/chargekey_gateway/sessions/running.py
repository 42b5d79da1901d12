"""The running sessions and the locks, in memory, as the SESSIONS stream tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

import msgspec
import structlog
from prometheus_client import Counter

from chargekey_common.follower import Message
from chargekey_common.published.envelope import Catalogue
from chargekey_common.published.sessions import (
    EVENTS,
    SessionEnded,
    SessionStarted,
    SessionUpdated,
    StartRefused,
)
from chargekey_gateway.decision import PERMITTED, Reason
from chargekey_gateway.sessions.stream import HELD, LOCK_PREFIX, REGISTER_PREFIX, START_PREFIX

_UNREADABLE = Counter(
    "running_sessions_events_skipped_total", "Events that cannot be read.", ["why"]
).labels("unreadable")

log = structlog.get_logger()


class RunningSession(msgspec.Struct, frozen=True, gc=False):
    """A charge that has not ended. `started_at` in nanoseconds since the epoch.

    `by_permission`: it began with one, and not at an open charger. `holds_lock`: its
    identification cannot start another one meanwhile (R21). At an open charger nothing is
    asked for, so nothing is locked; nor is a group card. `sequence` is where its start
    stands in the stream, which is its transaction id unless it was told again.
    `meter_unknown` where its registers count from the first that is told.
    """

    transaction_id: int
    session_id: str
    charger_id: str
    installation_id: str
    connector: int
    user_id: str | None
    identification_id: str | None
    group_id: str | None
    started_at: int
    by_permission: bool
    holds_lock: bool
    sequence: int
    ocpp_transaction_id: str | None = None
    meter_start: int = 0
    meter_unknown: bool = False


class Metered(msgspec.Struct, frozen=True, gc=False):
    """What a session's meter said last: nanoseconds since the epoch and watt-hours."""

    at: int
    meter: int


class Beginning(msgspec.Struct, frozen=True, gc=False):
    """What a stream that was lost is told again of a session: the key and event of its start."""

    start_key: str
    event: SessionStarted


class Lock(msgspec.Struct, frozen=True, gc=False):
    """The last message on a lock's subject; sequence 0 when there is none."""

    sequence: int = 0
    held: bool = False


NO_LOCK = Lock()


class SavedSessions(msgspec.Struct, frozen=True, array_like=True):
    """All of it as plain values that a file can hold; locks by identification, at sequences.

    Nothing of anybody that the stream has not: it may be wherever that is.
    """

    followed: int
    last_known: int
    mark: tuple[int, str]
    ended_ahead: list[int]
    running: list[RunningSession]
    metered: dict[int, Metered]
    first_registers: dict[int, int]
    beginnings: dict[int, Beginning]
    held: dict[str, int]
    free: dict[str, int]


class RunningSessions:
    """What every replica knows of the sessions of all: by id, by charger, by user.

    Fed by following the stream, and by the journal with what it has just written
    itself, so that a stop on the heels of its start finds it. Not thread-safe.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, RunningSession] = {}
        self._by_session_id: dict[str, int] = {}
        self._by_charger: dict[str, set[int]] = {}
        self._by_transaction: dict[tuple[str, str], int] = {}  # OCPP 2.x: charger and its name
        self._metered: dict[int, Metered] = {}
        self._first_registers: dict[int, int] = {}  # of those that began without one
        self._by_user: dict[str, set[int]] = {}
        self._locks: dict[str, Lock] = {}
        self._beginnings: dict[int, Beginning] = {}
        self._mark: tuple[int, str] = (0, "")  # the last start key followed, and where
        # Ended by this replica before the follower got to their starts.
        self._ended_ahead: set[int] = set()
        self.followed = 0
        self.last_known = 0  # of followed and own messages
        self._catalogue = Catalogue(*EVENTS)
        self._listeners: list[Callable[[RunningSession], None]] = []
        self._on_end: list[Callable[[RunningSession], None]] = []
        self._on_told: list[Callable[[SessionStarted], None]] = []

    def saved(self) -> SavedSessions:
        """Return all of it, for a snapshot."""
        return SavedSessions(
            followed=self.followed,
            last_known=self.last_known,
            mark=self._mark,
            ended_ahead=sorted(self._ended_ahead),
            running=list(self._by_id.values()),
            metered=self._metered,
            first_registers=self._first_registers,
            beginnings=self._beginnings,
            held={key: lock.sequence for key, lock in self._locks.items() if lock.held},
            free={key: lock.sequence for key, lock in self._locks.items() if not lock.held},
        )

    def restore(self, saved: SavedSessions) -> None:
        """Know what was saved; nothing may be known yet, and who listens hears of each session."""
        self.followed = saved.followed
        self.last_known = saved.last_known
        self._mark = saved.mark
        self._ended_ahead = set(saved.ended_ahead)
        self._metered = saved.metered
        self._first_registers = saved.first_registers
        self._beginnings = saved.beginnings
        self._locks = {key: Lock(at, held=True) for key, at in saved.held.items()}
        self._locks |= {key: Lock(at) for key, at in saved.free.items()}
        for session in saved.running:
            self._by_id[session.transaction_id] = session
            self._index(session)

    def get(self, transaction_id: int) -> RunningSession | None:
        """Return the session, or None where it is not known to run."""
        return self._by_id.get(transaction_id)

    def by_session_id(self, session_id: str) -> RunningSession | None:
        """Return the session that people know by this id, or None where it is not known to run."""
        number = self._by_session_id.get(session_id)
        return None if number is None else self._by_id[number]

    def of_transaction(self, charger_id: str, transaction: str) -> RunningSession | None:
        """Return the session of what the charger calls so (OCPP 2.x)."""
        number = self._by_transaction.get((charger_id, transaction))
        return None if number is None else self._by_id[number]

    def of_charger(self, charger_id: str) -> Sequence[RunningSession]:
        """Return the charger's running sessions, the oldest first."""
        return [self._by_id[number] for number in sorted(self._by_charger.get(charger_id, ()))]

    def of_user(self, user_id: str) -> Sequence[RunningSession]:
        """Return the user's running sessions, the oldest first."""
        return [self._by_id[number] for number in sorted(self._by_user.get(user_id, ()))]

    def beginnings(self) -> Sequence[tuple[int, Beginning]]:
        """Return how each running session began, by transaction id, the oldest first."""
        return sorted(self._beginnings.items(), key=itemgetter(0))

    def beginning(self, transaction_id: int) -> Beginning | None:
        """Return how a running session began."""
        return self._beginnings.get(transaction_id)

    def metered(self, transaction_id: int) -> Metered | None:
        """Return what a running session's meter said last, as far as it is known here."""
        return self._metered.get(transaction_id)

    def first_register(self, transaction_id: int) -> int | None:
        """Return what a running session counts from that began without a register."""
        return self._first_registers.get(transaction_id)

    def start_key(self, transaction_id: int) -> str | None:
        """Return the key of a running session's start."""
        beginning = self._beginnings.get(transaction_id)
        return None if beginning is None else beginning.start_key

    def lock(self, identification_id: str) -> Lock:
        """Return the identification's lock as far as it is known here; it may be behind."""
        return self._locks.get(identification_id, NO_LOCK)

    def on_start(self, listener: Callable[[RunningSession], None]) -> None:
        """Call `listener` with every session that begins, on whatever replica."""
        self._listeners.append(listener)

    def on_told(self, listener: Callable[[SessionStarted], None]) -> None:
        """Call `listener` with every start there ever was, also of what has ended; some twice."""
        self._on_told.append(listener)

    def on_end(self, listener: Callable[[RunningSession], None]) -> None:
        """Call `listener` with every session that ends, on whatever replica."""
        self._on_end.append(listener)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Apply messages of the stream in their order; what its Follower calls."""
        for message in messages:
            self.handle(message)

    def handle(self, message: Message) -> None:
        """Apply a message of the SESSIONS stream; one that cannot be read is counted, loudly."""
        self.followed = max(self.followed, message.sequence)
        self.last_known = max(self.last_known, message.sequence)
        if message.subject.startswith(LOCK_PREFIX):
            identification_id = message.subject.removeprefix(LOCK_PREFIX)
            self.locked(identification_id, Lock(message.sequence, message.data == HELD))
            return
        if message.subject.startswith(START_PREFIX):
            self._mark = message.sequence, message.subject.removeprefix(START_PREFIX)
            return
        try:
            if message.subject.startswith(REGISTER_PREFIX):
                transaction_id = int(message.subject.removeprefix(REGISTER_PREFIX))
                self.counted_from(transaction_id, int(message.data))
                return
            event = self._catalogue.decode(message.subject, message.data)
        except (msgspec.DecodeError, ValueError):
            _UNREADABLE.inc()
            log.error("poison_event", subject=message.subject, sequence=message.sequence)  # noqa: TRY400 - the error may quote the payload
            return
        match event:
            case SessionStarted():
                marked, start_key = self._mark
                # Its batch puts the mark right before it.
                known_by = start_key if marked == message.sequence - 1 else None
                self.started(message.sequence, event, known_by)
            case SessionEnded():
                self.ended(message.sequence, event)
            case SessionUpdated():
                self.updated(event.transaction_id, Metered(event.at, event.meter))
            case _:  # marks and refusals leave nothing running
                pass

    def started(self, sequence: int, event: SessionStarted, start_key: str | None = None) -> None:
        """Know a session whose event is at `sequence`.

        Knowing it already changes nothing, or where it stands: a lost stream was told
        of it again.
        """
        self.last_known = max(self.last_known, sequence)
        for told in self._on_told:
            told(event)
        session = running_session(sequence, event)
        known = self._by_id.get(session.transaction_id)
        if session.transaction_id in self._ended_ahead or known == session:
            return
        self._by_id[session.transaction_id] = session
        if start_key is not None:
            self._beginnings[session.transaction_id] = Beginning(start_key, event)
        if known is None:
            self._index(session)

    def _index(self, session: RunningSession) -> None:
        """Have a session found that was not known, and tell of it."""
        self._by_session_id[session.session_id] = session.transaction_id
        self._by_charger.setdefault(session.charger_id, set()).add(session.transaction_id)
        if session.ocpp_transaction_id is not None:
            named = session.charger_id, session.ocpp_transaction_id
            self._by_transaction[named] = session.transaction_id
        if session.user_id is not None:
            self._by_user.setdefault(session.user_id, set()).add(session.transaction_id)
        for listener in self._listeners:
            listener(session)

    def ended(self, sequence: int, event: SessionEnded) -> None:
        """Know that a session is over; `sequence` is the one of the event."""
        self.last_known = max(self.last_known, sequence)
        if sequence > self.followed:
            self._ended_ahead.add(event.transaction_id)
        else:
            self._ended_ahead.discard(event.transaction_id)
        self._beginnings.pop(event.transaction_id, None)
        self._metered.pop(event.transaction_id, None)
        self._first_registers.pop(event.transaction_id, None)
        session = self._by_id.pop(event.transaction_id, None)
        if session is None:
            return
        self._by_session_id.pop(session.session_id, None)
        _discard(self._by_charger, session.charger_id, session.transaction_id)
        if session.ocpp_transaction_id is not None:
            self._by_transaction.pop((session.charger_id, session.ocpp_transaction_id), None)
        if session.user_id is not None:
            _discard(self._by_user, session.user_id, session.transaction_id)
        for listener in self._on_end:
            listener(session)

    def updated(self, transaction_id: int, metered: Metered) -> None:
        """Know what a running session's meter said, unless a newer word of it is known."""
        known = self._metered.get(transaction_id)
        if transaction_id in self._by_id and (known is None or known.at < metered.at):
            self._metered[transaction_id] = metered

    def counted_from(self, transaction_id: int, register: int) -> None:
        """Know the first register, in watt-hours, of a running session that began without one."""
        if transaction_id in self._by_id:
            self._first_registers[transaction_id] = register

    def locked(self, identification_id: str, lock: Lock) -> None:
        """Know a lock, unless a newer one is known."""
        if lock.sequence > self.lock(identification_id).sequence:
            self._locks[identification_id] = lock


def locked_by(event: SessionStarted | StartRefused) -> str | None:
    """Return the identification that the session locks; none where nothing was asked for.

    Nor that of a group card, which may charge several times at once (R21).
    """
    exempt = event.reason == Reason.OPEN_CHARGER or event.inputs.group_card
    return None if exempt else event.identification_id


def running_session(sequence: int, event: SessionStarted | StartRefused) -> RunningSession:
    """Return the session that the event at `sequence` begins.

    A refused start is as if it were one, to whoever has to record its energy.
    """
    started = isinstance(event, SessionStarted)
    told_again = event.transaction_id if isinstance(event, SessionStarted) else None
    return RunningSession(
        transaction_id=told_again or sequence,
        session_id=event.session_id,
        charger_id=event.charger_id,
        installation_id=event.installation_id,
        connector=event.connector,
        user_id=event.user_id,
        identification_id=event.identification_id,
        group_id=event.inputs.group_id,
        started_at=event.started_at,
        by_permission=event.reason in PERMITTED,
        holds_lock=started and locked_by(event) is not None,
        sequence=sequence,
        ocpp_transaction_id=event.ocpp_transaction_id,
        meter_start=event.meter_start,
        meter_unknown=event.meter_unknown,
    )


def _discard(index: dict[str, set[int]], key: str, number: int) -> None:
    numbers = index[key]
    numbers.discard(number)
    if not numbers:
        del index[key]
