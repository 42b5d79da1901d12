"""Charging: starts and ends of sessions, made durable before the charger is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from chargekey_common.published.sessions import SessionStarted, StartRefused
from chargekey_gateway.application.deciding import Deciding
from chargekey_gateway.charger_states import ChargerStates
from chargekey_gateway.decision import BY_PERMISSION, Decision, Reason, Status
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.batches import End, Start
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.journal import PATIENCE, Journal
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.sessions.stopping import match_open, may_stop, superseded
from chargekey_gateway.sessions.transactions import Phase, TransactionMessage
from chargekey_gateway.view.entries import Charger, Identification

# A charger's clock that stands in 1970 must not bring expired codes back to life.
LONGEST_OFFLINE = 7 * 24 * 3600 * 10**9
MAX_TRANSACTION_ID = 2**31 - 1  # OCPP 1.6 integers have 32 bits

log = structlog.get_logger()


class Started(msgspec.Struct, frozen=True):
    """The answer to a start; a refused one has a transaction id too (OCPP 1.6 §4.8)."""

    transaction_id: int
    decision: Decision


class Charging:
    """Takes what chargers say of transactions; belongs to one event loop."""

    def __init__(
        self,
        *,
        deciding: Deciding,
        look_up: Lookup,
        journal: Journal,
        running: RunningSessions,
        start_keys: StartKeys,
        states: ChargerStates,
        clock: Callable[[], int],
        patience: float = PATIENCE,
    ) -> None:
        """Record by `journal`, in at most `patience` seconds; `clock` tells epoch nanoseconds."""
        self._deciding = deciding
        self._look_up = look_up
        self._journal = journal
        self._running = running
        self._start_keys = start_keys
        self._states = states
        self._clock = clock
        self._patience = patience

    async def start(
        self,
        charger: Charger,
        *,
        connector: int,
        token: str,
        started_at: int,
        meter_start: int,
        ocpp_transaction_id: str | None = None,
    ) -> Started:
        """Decide and record a start, once; sent again it gets the same id and verdict.

        Judged as of its start, so that what happened offline counts as it did there
        (R23), a week at the most; a clock ahead of the server's counts as now.
        Durable when this returns; raises `SessionsUnavailableError`.
        """
        now = self._clock()
        judged_at = max(min(started_at, now), now - LONGEST_OFFLINE)
        presented = self._look_up(charger, token)
        inputs = self._deciding.inputs(charger, presented, judged_at)
        key = self._start_keys.of(
            charger_id=charger.id,
            connector=connector,
            token=token,
            started_at=started_at,
            meter_start=meter_start,
        )
        start = Start(
            key=key,
            charger_id=charger.id,
            installation_id=charger.installation.id,
            connector=connector,
            started_at=started_at,
            meter_start=meter_start,
            ocpp_transaction_id=ocpp_transaction_id,
        )
        try:
            async with asyncio.timeout(self._patience):  # for the two together
                await self._end_superseded(start)
                recorded = await self._journal.start(start, inputs)
        except TimeoutError:
            raise SessionsUnavailableError from None
        self._states.started(charger.id)
        verdict = _verdict(recorded.event)
        # Sent again it is the same one: as of when it was judged.
        self._deciding.count_guess(charger, presented, verdict, recorded.event.inputs.at)
        self._deciding.tell_unknown(charger, presented, verdict, judged_at)
        return Started(recorded.transaction_id, verdict)

    async def _end_superseded(self, start: Start) -> None:
        """End what the charger has left behind, or its lock would outlive it (R21).

        The new start's time and meter are the last that can be said of it.
        """
        for session in superseded(self._running.of_charger(start.charger_id), start):
            log.warning(
                "session_superseded", charger=start.charger_id, transaction=session.transaction_id
            )
            end = End(ended_at=start.started_at, meter_stop=start.meter_start, reason="Other")
            await self._journal.end(session, end)

    async def take(self, charger: Charger, message: TransactionMessage) -> Decision | None:
        """Take what a charger of OCPP 2.x tells of a transaction.

        Returns what was decided of whom it presents, None where it presents nobody and
        the charger is not open. Durable when this returns; raises `SessionsUnavailableError`.
        """
        running = self._running.of_charger(charger.id)
        known = next(
            (each for each in running if each.ocpp_transaction_id == message.transaction), None
        )
        decision = None
        if known is None and (message.token is not None or not charger.authorisation_required):
            started = await self.start(
                charger,
                connector=message.connector,
                token=message.token or "",
                started_at=message.at,
                meter_start=message.meter or 0,
                ocpp_transaction_id=message.transaction,
            )
            decision = started.decision
            known = self._running.get(started.transaction_id)
        if message.phase is Phase.ENDED and known is not None:
            end = End(ended_at=message.at, meter_stop=message.meter or 0, reason=message.reason)
            await self._journal.end(known, end)
        return decision

    async def end(
        self,
        charger: Charger,
        *,
        transaction_id: int,
        token: str | None,
        ended_at: int,
        meter_stop: int,
        reason: str,
    ) -> None:
        """Record an end, once. A stop that fits no session is taken as it is (§4.10).

        Durable when this returns; raises `SessionsUnavailableError`.
        """
        presented = None if token is None else self._look_up(charger, token).identification
        session = await self._session_to_end(charger, transaction_id, presented, ended_at)
        if session is None:
            log.warning("stop_without_session", charger=charger.id, transaction=transaction_id)
            return
        if not may_stop(session, presented):
            # OCPP 1.6 cannot refuse a stop, and the energy no longer flows.
            log.warning("stopped_by_another", charger=charger.id, transaction=transaction_id)
        end = End(ended_at=ended_at, meter_stop=meter_stop, reason=reason)
        await self._journal.end(session, end)

    async def _session_to_end(
        self,
        charger: Charger,
        transaction_id: int,
        presented: Identification | None,
        ended_at: int,
    ) -> RunningSession | None:
        if transaction_id <= 0:
            return match_open(self._running.of_charger(charger.id), presented, ended_at)
        if transaction_id > MAX_TRANSACTION_ID:
            return None
        session = self._running.get(transaction_id)
        if session is None:
            # Another replica may have begun it a moment ago, or it has ended.
            return await self._journal.find(transaction_id, charger.id)
        return session if session.charger_id == charger.id else None


def _verdict(event: SessionStarted | StartRefused) -> Decision:
    """Return the decision as it was recorded, even if the rules have changed since."""
    reason = Reason(event.reason)
    return Decision(
        status=Status(event.status),
        reason=reason,
        user_id=event.user_id,
        identification_id=event.identification_id,
        permission_id=event.inputs.permission_id if reason in BY_PERMISSION else None,
        valid_until=event.valid_until if isinstance(event, SessionStarted) else None,
    )
