"""Writing starts and ends of sessions, once each, whoever asks however often.

Every write is one atomic batch, and the stream's own checks decide: the first mark
on a subject wins, on whichever replica. A refusal or an unclear answer is resolved
by reading from the stream's leader, never by guessing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.jetstream import (
    STREAM_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    BatchRefusedError,
    BatchUnansweredError,
    OutMessage,
    publish_atomically,
)
from chargekey_common.published.envelope import Catalogue, PublishedEvent
from chargekey_common.published.sessions import (
    EVENTS,
    Inputs,
    SessionCorrected,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway.sessions.batches import (
    Batch,
    End,
    Start,
    correction_batch,
    end_batch,
    first_register,
    start_batch,
    started_again_batch,
)
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.running import (
    NO_LOCK,
    Beginning,
    Lock,
    RunningSession,
    RunningSessions,
    locked_by,
    running_session,
)
from chargekey_gateway.sessions.stream import (
    HELD,
    LOCK_BEFORE_EVENT,
    STREAM,
    charge_subject,
    correction_subject,
    lock_subject,
    register_subject,
    start_subject,
    stop_subject,
)

PATIENCE = 5.0  # seconds in all: a change of the stream's leader fits in
ATTEMPT = 1.0  # seconds for one answer
PAUSES = (0.02, 0.05, 0.1, 0.25)  # seconds between attempts; the last one repeats

Result = TypeVar("Result")

log = structlog.get_logger()


class Recorded(msgspec.Struct, frozen=True):
    """A start as the stream has it, first time or again; the sequence is the transaction id.

    `now`: this very call has stored it, as far as is known.
    """

    transaction_id: int
    event: SessionStarted | StartRefused
    now: bool = False

    @property
    def session(self) -> RunningSession:
        """The session, as it would be if it still ran."""
        return running_session(self.transaction_id, self.event)


class Journal:
    """Writes to the SESSIONS stream and tells `running` what it wrote."""

    def __init__(
        self,
        client: Client,
        running: RunningSessions,
        *,
        clock: Callable[[], int],
        patience: float = PATIENCE,
    ) -> None:
        """Write over `client`, in at most `patience` seconds; `clock` tells epoch nanoseconds."""
        self._client = client
        self._js = client.jetstream(timeout=ATTEMPT)
        self._running = running
        self._clock = clock
        self._patience = patience
        self._catalogue = Catalogue(*EVENTS)
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def last_known(self) -> int:
        """The last sequence of the stream that this replica has read or written."""
        return self._running.last_known

    @property
    def is_held(self) -> bool:
        """Whether writes wait for a stream that was made again to be told what runs."""
        return not self._writable.is_set()

    @asynccontextmanager
    async def made_again(self) -> AsyncIterator[None]:
        """Hold all writes while the block declares the stream, which was lost.

        Then tell the stream of the sessions that still run, so that they keep their
        ids, their locks and their verdicts, before anything else is written to it.
        Whatever is raised in between, BatchRefusedError and BatchUnansweredError among
        it, leaves the writes held: enter again.
        """
        self._writable.clear()
        yield
        for transaction_id, beginning in self._running.beginnings():
            await self._start_again(transaction_id, beginning)
        self._writable.set()

    async def start(self, start: Start, inputs: Inputs) -> Recorded:
        """Record the start and what is decided over `inputs` and the identification's lock.

        A start recorded before keeps its transaction id and its verdict; in a transaction
        of OCPP 2.x that has its charge already this is that one. Durable when this
        returns; raises `SessionsUnavailableError` when nobody can tell in time.
        """

        async def attempt(*, first: bool) -> Recorded:
            if not first:
                known = await self._find_start(start.key)
                if known is None and start.charge_key is not None:
                    known = await self._find_charge(start.charge_key)
                if known is not None:
                    return known
            lockable = None if inputs.group_card else inputs.identification_id
            lock = await self._lock_of(lockable, remembered=first)
            batch = start_batch(start, inputs, lock, now=self._clock())
            if start.charge_key is not None and isinstance(batch.event, StartRefused):
                # Its mark keeps a second session out of a transaction, but no refusal.
                known = await self._find_charge(start.charge_key)
                if known is not None:
                    return known
            sequence = await self._write(batch)
            return Recorded(sequence, _as_start(batch.event), now=True)

        return await self._insist(attempt)

    async def recorded(self, start_key: str) -> Recorded | None:
        """Return the start of this key as the stream's leader has it, if it has.

        Raises `SessionsUnavailableError`.
        """

        async def attempt(*, first: bool) -> Recorded | None:  # noqa: ARG001 - reading is the same every time
            return await self._find_start(start_key)

        return await self._insist(attempt)

    async def charge(self, charge_key: str) -> Recorded | None:
        """Return what began in a transaction of OCPP 2.x, ended or not, from the leader.

        Raises `SessionsUnavailableError`.
        """

        async def attempt(*, first: bool) -> Recorded | None:  # noqa: ARG001 - reading is the same every time
            return await self._find_charge(charge_key)

        return await self._insist(attempt)

    async def end(self, session: RunningSession, end: End) -> None:
        """Record the end and free the lock; a session that has ended already stays as it is.

        But where that end was presumed and this one is not, it is corrected, once. Durable
        when this returns; raises `SessionsUnavailableError`.
        """

        async def attempt(*, first: bool) -> None:
            own = lock = Lock(session.sequence - LOCK_BEFORE_EVENT, session.holds_lock)
            if not first:
                mark = await self._last(stop_subject(session.transaction_id))
                if mark is not None:
                    await self._correct(session, end, mark.seq or 0)
                    return
                own = await self._own_lock(session)
                # Freed by somebody else meanwhile, it may be another session's now.
                lock = await self._lock_of(session.identification_id, remembered=False)
                lock = own if lock == own else NO_LOCK
            await self._write(end_batch(session, end, lock, now=self._clock()))

        await self._insist(attempt)

    async def counted(self, session: RunningSession, register: int) -> int:
        """Return a register as the session counts it, in watt-hours.

        One that began without counts from the first that was told, on whatever replica: from
        this one if there was none. Durable when this returns; raises
        `SessionsUnavailableError`.
        """
        if not session.meter_unknown:
            return register

        async def attempt(*, first: bool) -> int:
            mark = None
            if not first:
                mark = await self._last(register_subject(session.transaction_id))
            if mark is not None:
                return int(mark.data or b"")
            await self._writable.wait()
            await self._store([first_register(session.transaction_id, register)])
            return register

        counted_from = self._running.first_register(session.transaction_id)
        if counted_from is None:
            counted_from = await self._insist(attempt)
            self._running.counted_from(session.transaction_id, counted_from)
        return register - counted_from

    async def find(self, transaction_id: int, charger_id: str) -> Recorded | None:
        """Return the start that got this id at this charger, ended or not, from the leader.

        Raises `SessionsUnavailableError`.
        """

        async def attempt(*, first: bool) -> Recorded | None:  # noqa: ARG001 - reading is the same every time
            event = await self._event_at(transaction_id)
            if isinstance(event, SessionStarted | StartRefused) and event.charger_id == charger_id:
                return Recorded(transaction_id, event)
            return None

        return await self._insist(attempt)

    async def _start_again(self, transaction_id: int, beginning: Beginning) -> None:
        if await self._find_start(beginning.start_key) is None:
            lock = await self._lock_of(locked_by(beginning.event), remembered=False)
            await self._publish(started_again_batch(transaction_id, beginning, lock))
            log.info("session_told_again", transaction=transaction_id)
        register = self._running.first_register(transaction_id)
        if register is not None and await self._last(register_subject(transaction_id)) is None:
            await self._store([first_register(transaction_id, register)])

    async def _correct(self, session: RunningSession, end: End, stop_mark: int) -> None:
        """Tell the end after all, where the one behind the mark was presumed."""
        known = await self._event_at(stop_mark + 1)
        if end.presumed or not isinstance(known, SessionEnded) or not known.presumed:
            return
        if await self._last(correction_subject(session.transaction_id)) is None:
            await self._write(correction_batch(session, end, now=self._clock()))

    async def _write(self, batch: Batch) -> int:
        """Store the batch and remember it; return the sequence of its event."""
        await self._writable.wait()
        return await self._publish(batch)

    async def _publish(self, batch: Batch) -> int:
        sequence = await self._store(batch.messages)
        if batch.locks is not None:
            self._running.locked(batch.locks, Lock(sequence - LOCK_BEFORE_EVENT, batch.held))
        match batch.event:
            case SessionStarted() as started:
                self._running.started(sequence, started, batch.start_key)
            case SessionEnded() as ended:
                self._running.ended(sequence, ended)
            case StartRefused() | SessionCorrected():
                pass
        return sequence

    async def _store(self, messages: Sequence[OutMessage]) -> int:
        """Store all of them or none; return the sequence of the last."""
        return await publish_atomically(
            self._client, messages, batch_id=uuid.uuid4().hex, timeout=ATTEMPT
        )

    async def _lock_of(self, identification_id: str | None, *, remembered: bool) -> Lock:
        """Return the lock; from memory only where that says it is free.

        A lock wrongly believed free is refused by the stream; one wrongly believed
        held would refuse a driver.
        """
        if identification_id is None:
            return NO_LOCK
        if remembered:
            lock = self._running.lock(identification_id)
            if not lock.held:
                return lock
        message = await self._last(lock_subject(identification_id))
        if message is None:
            return NO_LOCK
        return Lock(message.seq or 0, message.data == HELD)

    async def _own_lock(self, session: RunningSession) -> Lock:
        """Return the lock as the session took it, where the stream has it now.

        A lost stream is told of the session before its end: else the start would come
        behind it, and hold the lock for good.
        """
        start_key = self._running.start_key(session.transaction_id)
        if start_key is None:
            return Lock(session.sequence - LOCK_BEFORE_EVENT, session.holds_lock)
        mark = await self._last(start_subject(start_key))
        if mark is None:
            raise BatchRefusedError(0, "the stream is not told of the session again yet")
        return Lock((mark.seq or 0) + 1 - LOCK_BEFORE_EVENT, session.holds_lock)

    async def _find_start(self, start_key: str) -> Recorded | None:
        mark = await self._last(start_subject(start_key))
        if mark is None:
            return None
        sequence = (mark.seq or 0) + 1  # the event stands behind its mark
        event = _as_start(await self._event_at(sequence))
        told_again = event.transaction_id if isinstance(event, SessionStarted) else None
        return Recorded(told_again or sequence, event)

    async def _find_charge(self, charge_key: str) -> Recorded | None:
        mark = await self._last(charge_subject(charge_key))
        return None if mark is None else await self._find_start((mark.data or b"").decode())

    async def _event_at(self, sequence: int) -> PublishedEvent | None:
        message = await _found(self._js.get_msg(STREAM, seq=sequence))
        if message is None:
            return None
        return self._catalogue.decode(message.subject or "", message.data or b"")

    async def _last(self, subject: str) -> RawStreamMsg | None:
        return await _found(self._js.get_last_msg(STREAM, subject))

    async def _insist(self, attempt: Callable[..., Awaitable[Result]]) -> Result:
        """Attempt until it is done or the time is over.

        Only with a connection: what nats-py would keep for later might be stored long
        after the charger was told that it was not.
        """
        first = True
        failures = 0
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    try:
                        if self._client.is_connected:
                            return await attempt(first=first)
                    except (BatchRefusedError, BatchUnansweredError) as error:
                        first = False
                        if (
                            isinstance(error, BatchRefusedError)
                            and error.code == WRONG_LAST_SEQUENCE
                        ):
                            continue  # somebody else was there first: read and go on at once
                        log.info("session_write_repeated", error=str(error) or repr(error))
                    except (nats.errors.Error, OSError) as error:
                        first = False
                        log.info("session_write_repeated", error=type(error).__name__)
                    await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                    failures += 1
        except TimeoutError:
            raise SessionsUnavailableError from None


async def _found(asked: Awaitable[RawStreamMsg]) -> RawStreamMsg | None:
    """Return the message, or None where the stream has none; without the stream nobody knows."""
    try:
        return await asked
    except NothingThereError as error:
        if error.err_code == STREAM_NOT_FOUND:
            raise
        return None


def _as_start(event: PublishedEvent | None) -> SessionStarted | StartRefused:
    if isinstance(event, SessionStarted | StartRefused):
        return event
    message = "the mark of a start has no start behind it"
    raise AssertionError(message)
