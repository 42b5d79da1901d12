"""Presuming: sessions that are over although nobody has said so (R21)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from chargekey_common.process import cancel
from chargekey_gateway.application.metering import last_meter
from chargekey_gateway.charger_states import CHARGER_ITSELF, FREE, OCCUPIED
from chargekey_gateway.commands import Send, Trigger
from chargekey_gateway.reconcile.kept import UNANSWERED, Connection
from chargekey_gateway.reconcile.reconciler import GREETING
from chargekey_gateway.sessions.batches import End
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.journal import Journal
from chargekey_gateway.sessions.running import Metered, RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger

# Seconds. A charger that comes back first says that it has booted and how it is, and then
# delivers what it has kept, one message after the other, each again after a while that
# grows (OCPP 1.6 §3.7.1). A stop that comes even later corrects what was presumed.
GRACE = 300.0
# These are told of a transaction that goes on after a boot, and of nothing else.
GOES_ON = frozenset({"Charging", "SuspendedEV", "SuspendedEVSE"})
# OCPP 2.x tells no more than that there is a vehicle, whose transaction may go on.
MAY_GO_ON = GOES_ON | {OCCUPIED}
# What refutes that an EVSE is free: another of its plugs, which was not told of before. At a
# connector of OCPP 1.6 it is the next vehicle that charges.
IN_USE_AFTER_ALL = frozenset({OCCUPIED})
NOTHING = frozenset[str]()
# OCPP 1.6 §4.9: there is a vehicle and no transaction. Right before a start and after a stop
# that is a matter of messages that cross; of a charger that was asked it is the answer.
NO_TRANSACTION = frozenset({"Preparing", "Finishing"})

log = structlog.get_logger()


class _Proof(msgspec.Struct, frozen=True):
    """`unless` are the statuses that refute it; the fewer the better it is."""

    at: int
    unless: frozenset[str]
    task: asyncio.Task[None]


class Presuming:
    """Ends sessions of which a boot or a free connector proves that they are over.

    Not before `grace` is over, in which the stop may still come, or something that proves
    the opposite. One task a session, only while needed. Nothing of it is stored: a charger
    that comes, to this gateway or from another one that has gone, is asked how its sessions
    are, and so tells again what was proven. One that does not answer is left as it is.
    """

    def __init__(
        self,
        running: RunningSessions,
        journal: Journal,
        *,
        clock: Callable[[], int],
        grace: float = GRACE,
        greeting: float = GREETING,
    ) -> None:
        """Wait `grace` seconds; `clock` tells nanoseconds since the epoch.

        A charger that has come is asked after `greeting` seconds: it may have to boot first.
        """
        self._running = running
        self._journal = journal
        self._clock = clock
        self._grace = grace
        self._greeting = greeting
        self._proofs: dict[int, _Proof] = {}  # by transaction
        self._asking: dict[str, asyncio.Task[None]] = {}  # by charger
        self._asked: set[tuple[str, int]] = set()  # which connectors of which chargers
        running.on_end(lambda session: self._drop(session.transaction_id))

    def connected(self, connection: Connection) -> None:
        """Ask a charger that comes how its running sessions are, if there are any."""
        charger = connection.charger
        before = self._asking.pop(charger.id, None)
        if before is not None:
            before.cancel()
        if self._running.of_charger(charger.id):
            task = asyncio.create_task(self._ask(connection))
            task.add_done_callback(_tell_failure)
            # And not in its own end: a task that is cancelled at once has none.
            task.add_done_callback(lambda done: self._has_asked(charger.id, done))
            self._asking[charger.id] = task

    def booted(self, charger: Charger) -> None:
        """Know that the charger has started: nothing charges that it does not tell of again."""
        for session in self._running.of_charger(charger.id):
            self._proven(session, unless=MAY_GO_ON)

    def status(self, charger: Charger, connector: int, status: str) -> None:
        """Know a connector's status, in OCPP's words."""
        if connector == CHARGER_ITSELF:
            return
        was_asked = (charger.id, connector) in self._asked
        self._asked.discard((charger.id, connector))
        for session in self._running.of_charger(charger.id):
            if session.connector != connector:
                continue
            proof = self._proofs.get(session.transaction_id)
            if status == FREE:
                self._proven(session, unless=IN_USE_AFTER_ALL)
            elif was_asked and status in NO_TRANSACTION:
                self._proven(session, unless=MAY_GO_ON)
            elif proof is not None and status in proof.unless:
                self._drop(session.transaction_id)

    def heard(self, session: RunningSession, at: int) -> None:
        """Know that the charger tells of the session as of `at`, nanoseconds since the epoch."""
        proof = self._proofs.get(session.transaction_id)
        if proof is not None and at > proof.at:
            self._drop(session.transaction_id)

    async def idle(self) -> None:
        """Return once nothing is presumed that has not been recorded."""
        while self._proofs:
            await asyncio.wait([proof.task for proof in self._proofs.values()])

    async def asked(self) -> None:
        """Return once no charger is being asked."""
        while self._asking:
            await asyncio.wait(self._asking.values())

    async def close(self) -> None:
        """Presume nothing any more."""
        tasks = [proof.task for proof in self._proofs.values()]
        for transaction_id in tuple(self._proofs):
            self._drop(transaction_id)
        await cancel(*tasks, *self._asking.values())

    async def _ask(self, connection: Connection) -> None:
        await asyncio.sleep(self._greeting)
        for session in self._running.of_charger(connection.charger.id):
            if not await self._ask_of(session, connection):
                return

    async def _ask_of(self, session: RunningSession, connection: Connection) -> bool:
        """Ask of one session; return whether the charger answers at all."""
        if session.ocpp_transaction_id is not None:
            about = {"transactionId": session.ocpp_transaction_id}
            told = await connection.carry_out(Send(action="GetTransactionStatus", payload=about))
            if told.outcome in UNANSWERED:
                return False
            goes_on = told.payload.get("ongoingIndicator")
            if goes_on is True:
                self._drop(session.transaction_id)
            elif goes_on is False and self._running.get(session.transaction_id) is not None:
                self._proven(session, unless=NOTHING)
            if goes_on is not None:
                return True
        if session.connector == CHARGER_ITSELF:
            return True
        place = session.charger_id, session.connector
        self._asked.add(place)
        trigger = Trigger(message="StatusNotification", connector=session.connector)
        told = await connection.carry_out(trigger)
        if not told.accepted:
            self._asked.discard(place)
        return told.outcome not in UNANSWERED

    def _has_asked(self, charger_id: str, task: asyncio.Task[None]) -> None:
        if self._asking.get(charger_id) is task:
            del self._asking[charger_id]

    def _proven(self, session: RunningSession, *, unless: frozenset[str]) -> None:
        known = self._proofs.get(session.transaction_id)
        if known is not None and not unless < known.unless:
            return  # the first proof tells best when
        if known is not None:
            self._drop(session.transaction_id)
        at = self._clock()
        task = asyncio.create_task(self._end(session, at))
        task.add_done_callback(_tell_failure)
        self._proofs[session.transaction_id] = _Proof(at, unless, task)

    async def _end(self, session: RunningSession, proven_at: int) -> None:
        own = asyncio.current_task()
        try:
            while True:
                await asyncio.sleep(self._grace)
                known = self._running.metered(session.transaction_id)
                try:
                    await self._journal.end(session, presumed_end(session, known, proven_at))
                except SessionsUnavailableError:
                    continue  # it waits as long again, and so does whoever it keeps from charging
                log.info("session_presumed_over", transaction=session.transaction_id)
                return
        finally:
            known_proof = self._proofs.get(session.transaction_id)
            if known_proof is not None and known_proof.task is own:
                del self._proofs[session.transaction_id]

    def _drop(self, transaction_id: int) -> None:
        proof = self._proofs.get(transaction_id)
        # A session that this ends itself is heard of in the middle of it.
        if proof is not None and proof.task is not asyncio.current_task():
            del self._proofs[transaction_id]
            proof.task.cancel()


def presumed_end(session: RunningSession, known: Metered | None, at: int) -> End:
    """Return an end that the charger has not told of, with what was last heard of its meter."""
    meter_stop = last_meter(session, known)
    return End(ended_at=at, meter_stop=meter_stop, reason="Other", presumed=True)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("presuming_failed", exc_info=task.exception())
