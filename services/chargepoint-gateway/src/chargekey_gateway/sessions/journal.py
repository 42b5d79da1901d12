"""Writing starts and ends of sessions, once each, whoever asks however often.

Every write is one atomic batch, and the stream's own checks decide: the first mark
on a subject wins, on whichever replica. A refusal or an unclear answer is resolved
by reading from the stream's leader, never by guessing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.jetstream import (
    WRONG_LAST_SEQUENCE,
    BatchRefusedError,
    BatchUnansweredError,
    publish_atomically,
)
from chargekey_common.published.envelope import Catalogue, PublishedEvent
from chargekey_common.published.sessions import (
    EVENTS,
    Inputs,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway.sessions.batches import Batch, End, Start, end_batch, start_batch
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.running import (
    NO_LOCK,
    Lock,
    RunningSession,
    RunningSessions,
    running_session,
)
from chargekey_gateway.sessions.stream import (
    HELD,
    LOCK_BEFORE_EVENT,
    STREAM,
    lock_subject,
    start_subject,
    stop_subject,
)

PATIENCE = 5.0  # seconds in all: a change of the stream's leader fits in
ATTEMPT = 1.0  # seconds for one answer
PAUSES = (0.02, 0.05, 0.1, 0.25)  # seconds between attempts; the last one repeats

Result = TypeVar("Result")

log = structlog.get_logger()


class Recorded(msgspec.Struct, frozen=True):
    """A start as the stream has it, first time or again; the sequence is the transaction id."""

    transaction_id: int
    event: SessionStarted | StartRefused


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

    async def start(self, start: Start, inputs: Inputs) -> Recorded:
        """Record the start and what is decided over `inputs` and the identification's lock.

        A start recorded before keeps its transaction id and its verdict. Durable when
        this returns; raises `SessionsUnavailableError` when nobody can tell in time.
        """

        async def attempt(*, first: bool) -> Recorded:
            if not first:
                known = await self._find_start(start.key)
                if known is not None:
                    return known
            lock = await self._lock_of(inputs.identification_id, remembered=first)
            batch = start_batch(start, inputs, lock, now=self._clock())
            sequence = await self._write(batch)
            return Recorded(sequence, _as_start(batch.event))

        return await self._insist(attempt)

    async def end(self, session: RunningSession, end: End) -> None:
        """Record the end and free the lock; a session that has ended already stays as it is.

        Durable when this returns; raises `SessionsUnavailableError`.
        """
        own = Lock(session.transaction_id - LOCK_BEFORE_EVENT, session.holds_lock)

        async def attempt(*, first: bool) -> None:
            lock = own
            if not first:
                if await self._last(stop_subject(session.transaction_id)) is not None:
                    return
                # Freed by somebody else meanwhile, it may be another session's now.
                lock = await self._lock_of(session.identification_id, remembered=False)
                lock = own if lock == own else NO_LOCK
            await self._write(end_batch(session, end, lock, now=self._clock()))

        await self._insist(attempt)

    async def find(self, transaction_id: int, charger_id: str) -> RunningSession | None:
        """Return the session that got this id at this charger, ended or not, from the leader.

        Raises `SessionsUnavailableError`.
        """

        async def attempt(*, first: bool) -> RunningSession | None:  # noqa: ARG001 - reading is the same every time
            event = await self._event_at(transaction_id)
            if isinstance(event, SessionStarted) and event.charger_id == charger_id:
                return running_session(transaction_id, event)
            return None

        return await self._insist(attempt)

    async def _write(self, batch: Batch) -> int:
        """Store the batch and remember it; return the sequence of its event."""
        sequence = await publish_atomically(
            self._client, batch.messages, batch_id=uuid.uuid4().hex, timeout=ATTEMPT
        )
        if batch.locks is not None:
            self._running.locked(batch.locks, Lock(sequence - LOCK_BEFORE_EVENT, batch.held))
        match batch.event:
            case SessionStarted() as started:
                self._running.started(sequence, started)
            case SessionEnded() as ended:
                self._running.ended(sequence, ended)
            case StartRefused():
                pass
        return sequence

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

    async def _find_start(self, start_key: str) -> Recorded | None:
        mark = await self._last(start_subject(start_key))
        if mark is None:
            return None
        transaction_id = (mark.seq or 0) + 1  # the event stands behind its mark
        return Recorded(transaction_id, _as_start(await self._event_at(transaction_id)))

    async def _event_at(self, sequence: int) -> PublishedEvent | None:
        try:
            message = await self._js.get_msg(STREAM, seq=sequence)
        except NothingThereError:
            return None
        return self._catalogue.decode(message.subject or "", message.data or b"")

    async def _last(self, subject: str) -> RawStreamMsg | None:
        try:
            return await self._js.get_last_msg(STREAM, subject)
        except NothingThereError:
            return None

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


def _as_start(event: PublishedEvent | None) -> SessionStarted | StartRefused:
    if isinstance(event, SessionStarted | StartRefused):
        return event
    message = "the mark of a start has no start behind it"
    raise AssertionError(message)
