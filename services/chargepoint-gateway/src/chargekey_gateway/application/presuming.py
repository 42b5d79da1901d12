"""Presuming: sessions that are over although nobody has said so (R21)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from chargekey_gateway.application.metering import last_meter
from chargekey_gateway.charger_states import CHARGER_ITSELF, FREE
from chargekey_gateway.sessions.batches import End
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.journal import Journal
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.view.entries import Charger

# Seconds. A charger that comes back first says that it has booted and how it is, and then
# delivers what it has kept, one message after the other, each again after a while that
# grows (OCPP 1.6 §3.7.1). A stop that comes even later corrects what was presumed.
GRACE = 300.0
# These are told of a transaction that goes on after a boot, and of nothing else.
GOES_ON = frozenset({"Charging", "SuspendedEV", "SuspendedEVSE"})
# OCPP 2.x tells no more than that there is a vehicle, whose transaction may go on.
MAY_GO_ON = GOES_ON | {"Occupied"}

log = structlog.get_logger()


class _Proof(msgspec.Struct, frozen=True):
    at: int
    by_boot: bool
    task: asyncio.Task[None]


class Presuming:
    """Ends sessions of which a boot or a free connector proves that they are over.

    Not before `grace` is over, in which the stop may still come, or something that proves
    the opposite. One task a session, only while needed; another gateway that takes over
    begins with what it is told itself.
    """

    def __init__(
        self,
        running: RunningSessions,
        journal: Journal,
        *,
        clock: Callable[[], int],
        grace: float = GRACE,
    ) -> None:
        """Wait `grace` seconds; `clock` tells nanoseconds since the epoch."""
        self._running = running
        self._journal = journal
        self._clock = clock
        self._grace = grace
        self._proofs: dict[int, _Proof] = {}  # by transaction
        running.on_end(lambda session: self._drop(session.transaction_id))

    def booted(self, charger: Charger) -> None:
        """Know that the charger has started: nothing charges that it does not tell of again."""
        for session in self._running.of_charger(charger.id):
            self._proven(session, by_boot=True)

    def status(self, charger: Charger, connector: int, status: str) -> None:
        """Know a connector's status, in OCPP's words."""
        if connector == CHARGER_ITSELF:
            return
        for session in self._running.of_charger(charger.id):
            if session.connector != connector:
                continue
            proof = self._proofs.get(session.transaction_id)
            if status == FREE:
                self._proven(session, by_boot=False)
            elif proof is not None and proof.by_boot and status in MAY_GO_ON:
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

    async def close(self) -> None:
        """Presume nothing any more."""
        tasks = [proof.task for proof in self._proofs.values()]
        for transaction_id in tuple(self._proofs):
            self._drop(transaction_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _proven(self, session: RunningSession, *, by_boot: bool) -> None:
        known = self._proofs.get(session.transaction_id)
        if known is not None and (by_boot or not known.by_boot):
            return  # the first proof tells best when
        if known is not None:
            self._drop(session.transaction_id)
        at = self._clock()
        task = asyncio.create_task(self._end(session, at))
        task.add_done_callback(_tell_failure)
        self._proofs[session.transaction_id] = _Proof(at, by_boot, task)

    async def _end(self, session: RunningSession, proven_at: int) -> None:
        end = End(ended_at=proven_at, meter_stop=0, reason="Other", presumed=True)
        own = asyncio.current_task()
        try:
            while True:
                await asyncio.sleep(self._grace)
                known = self._running.metered(session.transaction_id)
                end = msgspec.structs.replace(end, meter_stop=last_meter(session, known))
                try:
                    await self._journal.end(session, end)
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


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("presuming_failed", exc_info=task.exception())
