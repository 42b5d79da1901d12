"""Starting: a start is decided, and made durable before the charger is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published.sessions import Inputs, SessionStarted
from chargekey_gateway.application.deciding import Deciding
from chargekey_gateway.application.presuming import presumed_end
from chargekey_gateway.charger_states import ChargerStates
from chargekey_gateway.decision import Decision, NamedDecision, Reason, Status, permission_named
from chargekey_gateway.inputs import Presented
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.allowance import Allowance
from chargekey_gateway.sessions.batches import Start
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.journal import PATIENCE, Journal, Recorded
from chargekey_gateway.sessions.keys import session_id
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.sessions.stopping import superseded
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.past import KEPT

# A charger's clock that stands in 1970 must not bring expired codes back to life.
LONGEST_OFFLINE = KEPT
# Sessions that run at one charger at a time: more than any has places for. One that tells of
# another has left the oldest behind.
MOST_AT_CHARGER = 64

log = structlog.get_logger()


class Who(msgspec.Struct, frozen=True):
    """Who is presented for a start: the token, what it is said to be, and as of when to judge."""

    token: str
    at: int
    announced: CodeClass | None = None

    def __repr__(self) -> str:
        """Say as of when, never what."""
        return f"Who({self.at})"


class Starting:
    """Begins sessions, whatever version their chargers speak; belongs to one event loop."""

    def __init__(
        self,
        *,
        deciding: Deciding,
        look_up: Lookup,
        journal: Journal,
        running: RunningSessions,
        states: ChargerStates,
        clock: Callable[[], int],
        patience: float = PATIENCE,
    ) -> None:
        """Record by `journal`, in at most `patience` seconds; `clock` tells epoch nanoseconds."""
        self._deciding = deciding
        self._look_up = look_up
        self._journal = journal
        self._running = running
        self._states = states
        self._clock = clock
        self._patience = patience
        self._allowance = Allowance()

    async def begin(self, charger: Charger, start: Start, who: Who) -> tuple[Recorded, Decision]:
        """Decide and record a start, once, and return it as it was recorded.

        Judged as of `who.at`, a week ago at the most (R23). Durable when this returns; raises
        `SessionsUnavailableError`, `StartsPutOffError`.
        """
        now = self._clock()
        judged_at = max(min(who.at, now), now - LONGEST_OFFLINE)
        # By the charger's clock, which may be wrong, or by ours, which may be told late (R23).
        presented = self._look_up(charger, who.token)
        presented = self._deciding.expected(charger, presented, judged_at, now)
        inputs = self._deciding.inputs(charger, presented, judged_at, who.announced)
        # A clock that is plainly wrong tells no time as of which anything was known.
        if start.offline and judged_at == who.at:
            then = self._deciding.let_in_then(charger, who.token, inputs, who.announced)
            if then is not None:
                inputs = then.inputs
                start = msgspec.structs.replace(start, installation_id=then.installation_id)
        try:
            async with asyncio.timeout(self._patience):  # for the two together
                await self._end_superseded(start)
                recorded = await self._recorded(charger, presented, start, inputs)
        except TimeoutError:
            raise SessionsUnavailableError from None
        self._states.started(charger.id)
        verdict = self.verdict(charger, recorded)
        if recorded.event.session_id != session_id(start.key):
            return recorded, verdict  # of whoever began this transaction
        # By the server's clock: guesses dated as one likes would be spread over a week.
        self._deciding.count_guess(charger, presented, verdict, now, start_key=start.key)
        self._deciding.tell_unknown(charger, presented, verdict, judged_at)
        return recorded, verdict

    def verdict(self, charger: Charger, recorded: Recorded) -> Decision:
        """Return the decision as it was recorded, even if the rules have changed since."""
        event = recorded.event
        reason = Reason(event.reason)
        decision = NamedDecision(
            status=Status(event.status),
            reason=reason,
            user_id=event.user_id,
            identification_id=event.identification_id,
            permission_id=permission_named(event.inputs, reason),
            valid_until=event.valid_until if isinstance(event, SessionStarted) else None,
        )
        return self._deciding.grouped(charger, decision, event.inputs.group_id)

    async def _recorded(
        self, charger: Charger, presented: Presented, start: Start, inputs: Inputs
    ) -> Recorded:
        put_off = self._allowance.is_used_up(charger.id)
        if put_off or self._deciding.asks_operator(inputs):
            # Sent again it keeps its verdict, and nobody is asked a second time.
            known = await self._told_before(start)
            if known is not None:
                return known
            if put_off:
                raise self._allowance.put_off(charger.id)
            inputs = await self._deciding.with_answer(
                charger, presented, inputs, connector=start.connector
            )
        recorded = await self._journal.start(start, inputs)
        if recorded.now:
            self._allowance.use(charger.id)
            await self._end_surplus(charger)
        return recorded

    async def _told_before(self, start: Start) -> Recorded | None:
        """Return the start as it was recorded, or what began in its transaction."""
        known = await self._journal.recorded(start.key)
        if known is None and start.charge_key is not None:
            known = await self._journal.charge(start.charge_key)
        return known

    async def _end_surplus(self, charger: Charger) -> None:
        """End the oldest of too many; what the charger says of its end after all corrects it."""
        for session in self._running.of_charger(charger.id)[:-MOST_AT_CHARGER]:
            log.warning(
                "too_many_sessions_run", charger=charger.id, transaction=session.transaction_id
            )
            last = self._running.metered(session.transaction_id)
            await self._journal.end(session, presumed_end(session, last, self._clock()))

    async def _end_superseded(self, start: Start) -> None:
        """End what the charger has left behind, or its lock would outlive it (R21).

        The new start's time and meter are the last that can be said of it.
        """
        left_behind = superseded(self._running.of_charger(start.charger_id), start)
        if left_behind and await self._told_before(start) is not None:
            return  # a late message of what began, and ended, before these
        for session in left_behind:
            log.warning(
                "session_superseded", charger=start.charger_id, transaction=session.transaction_id
            )
            last = self._running.metered(session.transaction_id)
            end = presumed_end(session, last, start.started_at)
            if start.meter_start is not None:
                meter_stop = await self._journal.counted(session, start.meter_start)
                end = msgspec.structs.replace(end, meter_stop=meter_stop)
            await self._journal.end(session, end)
