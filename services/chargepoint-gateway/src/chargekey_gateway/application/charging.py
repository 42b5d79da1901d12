"""Charging: starts and ends of sessions, made durable before the charger is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published.sessions import Inputs, SessionStarted, StartRefused
from chargekey_gateway.application.deciding import Deciding
from chargekey_gateway.application.metering import Metering, last_meter
from chargekey_gateway.application.presuming import Presuming
from chargekey_gateway.charger_states import CHARGER_ITSELF, ChargerStates
from chargekey_gateway.decision import (
    OCPP16_STATUS,
    Decision,
    Reason,
    Status,
    permission_named,
)
from chargekey_gateway.inputs import Presented
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.allowance import Allowance
from chargekey_gateway.sessions.batches import End, Start
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.journal import PATIENCE, Journal, Recorded
from chargekey_gateway.sessions.keys import StartKeys, session_id
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.sessions.stopping import match_open, may_stop, superseded
from chargekey_gateway.sessions.transactions import (
    Heard,
    Phase,
    TransactionMessage,
    Transactions,
)
from chargekey_gateway.sessions.verifying import refusal
from chargekey_gateway.view.entries import Charger, Identification
from chargekey_gateway.view.past import KEPT

# A charger's clock that stands in 1970 must not bring expired codes back to life.
LONGEST_OFFLINE = KEPT
MAX_TRANSACTION_ID = 2**31 - 1  # OCPP 1.6 integers have 32 bits
# Sessions that run at one charger at a time: more than any has places for. One that tells of
# another has left the oldest behind.
MOST_AT_CHARGER = 64
# A start that is told this much later than it was has waited for a connection. A charger
# that has one tells it within seconds; the rest is for clocks, which chargers set when they
# boot and by Heartbeat.
CLEARLY_EARLIER = 5 * 60 * 10**9
# The numbers of the messages by one of which somebody begins a transaction of OCPP 2.x; a
# later one is recognised as the same message alone.
BEGINNING = range(16)

log = structlog.get_logger()


class Started(msgspec.Struct, frozen=True):
    """The answer to a start; a refused one has a transaction id too (OCPP 1.6 §4.8)."""

    transaction_id: int
    decision: Decision


class _Presented(msgspec.Struct, frozen=True):
    """Who is presented for a start: the token, what it is said to be, and as of when to judge."""

    token: str
    at: int
    announced: CodeClass | None = None

    def __repr__(self) -> str:
        """Say as of when, never what."""
        return f"_Presented({self.at})"


class Charging:
    """Takes what chargers say of transactions; belongs to one event loop."""

    def __init__(  # noqa: PLR0913 - what the gateway wires together, each by its name
        self,
        *,
        deciding: Deciding,
        look_up: Lookup,
        journal: Journal,
        running: RunningSessions,
        start_keys: StartKeys,
        states: ChargerStates,
        metering: Metering,
        presuming: Presuming,
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
        self._metering = metering
        self._presuming = presuming
        self._clock = clock
        self._patience = patience
        self._transactions = Transactions()
        self._allowance = Allowance()
        self._connected_at: dict[str, int] = {}  # by charger, nanoseconds since the epoch

    def connected(self, charger: Charger) -> None:
        """Know that the charger has a connection from now on."""
        self._connected_at[charger.id] = self._clock()

    async def start(
        self,
        charger: Charger,
        *,
        connector: int,
        token: str,
        started_at: int | str,
        meter_start: int,
    ) -> Started:
        """Decide and record a start of OCPP 1.6, once; sent again it gets the same id and verdict.

        Judged as of its start (R23), a week at the most; a clock ahead of the server's counts
        as now. It was offline where it began before this connection, or clearly earlier than
        now, and then what has been taken from anybody since does not count. Where
        `started_at` is the charger's own word, which is no time, it is a start of now.
        Durable when this returns; raises `SessionsUnavailableError`, `StartsPutOffError`.
        """
        now = self._clock()
        began_at = now if isinstance(started_at, str) else started_at
        connected_at = self._connected_at.get(charger.id, 0)
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
            started_at=began_at,
            meter_start=meter_start,
            offline=began_at < max(connected_at, now - CLEARLY_EARLIER),
        )
        recorded, verdict = await self._begin(charger, start, _Presented(token, began_at))
        return Started(recorded.transaction_id, verdict)

    async def _begin(
        self, charger: Charger, start: Start, who: _Presented
    ) -> tuple[Recorded, Decision]:
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
        event = recorded.event
        verdict = self._deciding.grouped(charger, _verdict(event), event.inputs.group_id)
        if recorded.event.session_id != session_id(start.key):
            return recorded, verdict  # of whoever began this transaction
        # By the server's clock: guesses dated as one likes would be spread over a week.
        self._deciding.count_guess(charger, presented, verdict, now, start_key=start.key)
        self._deciding.tell_unknown(charger, presented, verdict, judged_at)
        return recorded, verdict

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
            await self._journal.end(session, self._presumed_end(session))

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
            end = End(
                ended_at=start.started_at,
                meter_stop=start.meter_start,
                reason="Other",
                presumed=True,
            )
            await self._journal.end(session, end)

    async def take(self, charger: Charger, message: TransactionMessage) -> Decision | None:
        """Take what a charger of OCPP 2.x tells of a transaction, in whatever order it comes.

        Returns what was decided of whom it presents, None where it presents nobody and
        the charger is not open. A transaction that begins with nobody presented is
        remembered, and becomes a session once somebody is accepted; where nobody was and
        energy flowed all the same, it becomes a refused start by its end. Durable when this
        returns; raises `SessionsUnavailableError`.
        """
        heard = self._transactions.hear(charger.id, message)
        known = await self._known(charger, message)
        decision = None
        if known is not None:
            decision = await self._verify(charger, known, message)
        elif message.stops or (heard.refused is not None and message.phase is Phase.ENDED):
            # Who ends what nobody may charge in begins nothing.
            decision = await self._authorize(charger, message)
        elif message.token is not None or (
            # Nobody in particular charges at an open charger, unless he was refused by name.
            heard.refused is None and not charger.authorisation_required
        ):
            known, decision = await self._begin_in(charger, message, heard)
        known = known or heard.refused
        if known is None and message.phase is Phase.ENDED and heard.flowed:
            # Nobody may charge here, and somebody did: nobody's start is refused.
            nobodys = msgspec.structs.replace(message, token=None, announced=None)
            known, _ = await self._begin_in(charger, nobodys, heard)
        if known is not None:
            await self._go_on(known, message, heard)
        if message.phase is Phase.ENDED:
            if known is None:
                log.info("transaction_without_session", charger=charger.id)
            self._transactions.forget(charger.id, message.transaction)
        return decision

    async def _known(self, charger: Charger, message: TransactionMessage) -> Recorded | None:
        """Return what began in the transaction; where it ends, the stream's leader is asked.

        Another replica may have begun it a moment ago, or its end was presumed.
        """
        session = self._running.of_transaction(charger.id, message.transaction)
        if session is not None:
            beginning = self._running.beginning(session.transaction_id)
            if beginning is not None:
                return Recorded(session.transaction_id, beginning.event)
        elif message.phase is not Phase.ENDED:
            return None
        charge_key = self._start_keys.of_charge(charger.id, message.transaction)
        return await self._journal.charge(charge_key)

    async def _begin_in(
        self, charger: Charger, message: TransactionMessage, heard: Heard
    ) -> tuple[Recorded, Decision]:
        """Begin a session with the transaction's own beginning, judged as of who is presented."""
        token = message.token or ""
        key = self._start_keys.of_transaction(
            charger.id, message.transaction, message.number, token
        )
        start = Start(
            key=key,
            charge_key=self._start_keys.of_charge(charger.id, message.transaction),
            charger_id=charger.id,
            installation_id=charger.installation.id,
            connector=heard.connector,
            started_at=message.at if heard.began_at is None else heard.began_at,
            meter_start=heard.meter_start or 0,
            ocpp_transaction_id=message.transaction,
            offline=message.offline,
        )
        if heard.meter_start is None:
            heard.begun_without_meter()
        who = _Presented(token, message.at, message.announced)
        recorded, decision = await self._begin(charger, start, who)
        if isinstance(recorded.event, StartRefused):
            heard.refused = recorded
        elif recorded.event.session_id != session_id(key):
            decision = await self._verify(charger, recorded, message) or decision
        return recorded, decision

    async def _verify(
        self, charger: Charger, known: Recorded, message: TransactionMessage
    ) -> Decision | None:
        """Judge who is presented in a transaction that has its session (OCPP 2.x E05)."""
        if message.token is None:
            return None
        session = known.session
        who = self._look_up(charger, message.token)
        identification_id = None if who.identification is None else who.identification.id
        event = known.event
        verdict = self._deciding.grouped(charger, _verdict(event), event.inputs.group_id)
        if self._is_begun_by(session, message, message.number):
            return verdict  # the very message that began it, sent again (R23)
        if self._has_begun_it(known, message, identification_id):
            inputs = self._deciding.inputs(charger, who, self._clock(), message.announced)
            return refusal(session, inputs, charger.installation) or verdict
        if not message.stops and message.phase is not Phase.ENDED:
            return await self._authorize(charger, message)
        return self._stopped_by(charger, known, who, verdict, message.announced)

    def _stopped_by(
        self,
        charger: Charger,
        known: Recorded,
        who: Presented,
        verdict: Decision,
        announced: CodeClass | None,
    ) -> Decision:
        """Say whether who stops a session, and did not begin it, may (R22)."""
        session = known.session
        stopped_by: dict[str, Any] = {
            "identification_id": None if who.identification is None else who.identification.id,
            "user_id": None if who.identification is None else who.identification.user.id,
        }
        if session.identification_id is None or (
            who.identification is not None and may_stop(session, who.identification)
        ):
            return msgspec.structs.replace(verdict, **stopped_by)
        stopping = self._deciding.master_pass_of(charger, who, announced)
        if stopping is not None:
            return stopping
        log.warning("stopped_by_another", charger=charger.id, transaction=known.transaction_id)
        reason = Reason.NO_PERMISSION
        return Decision(
            OCPP16_STATUS[reason], reason, permission_id=None, valid_until=None, **stopped_by
        )

    def _has_begun_it(
        self, known: Recorded, message: TransactionMessage, identification_id: str | None
    ) -> bool:
        """Whether who is presented began the session.

        Codes are compared, too: of what nobody knows, or what is somebody else's by now.
        """
        session = known.session
        if identification_id is not None and identification_id == session.identification_id:
            return True
        return any(
            self._is_begun_by(session, message, number) for number in {message.number, *BEGINNING}
        )

    def _is_begun_by(
        self, session: RunningSession, message: TransactionMessage, number: int
    ) -> bool:
        """Whether a message of this number that presents the same began the session."""
        key = self._start_keys.of_transaction(
            session.charger_id, message.transaction, number, message.token or ""
        )
        return session_id(key) == session.session_id

    async def _authorize(self, charger: Charger, message: TransactionMessage) -> Decision | None:
        if message.token is None:
            return None
        decision = self._deciding.authorize(
            charger, message.token, message.announced, to_stop=message.stops
        )
        return decision if isinstance(decision, Decision) else await decision

    async def _go_on(self, known: Recorded, message: TransactionMessage, heard: Heard) -> None:
        """Take what the message says of the session beside whom it presents."""
        running = self._running.get(known.transaction_id)
        meter = None if message.meter is None else heard.energy(message.meter)
        if running is not None:
            if meter is not None or message.power is not None:
                self._metering.metered(running, at=message.at, meter=meter, power=message.power)
            if not message.offline:
                self._presuming.heard(running, message.at)
        if message.phase is not Phase.ENDED:
            return
        session = running or known.session
        if meter is None and known is heard.refused and heard.meter_highest is not None:
            meter = heard.energy(heard.meter_highest)  # nobody meters what does not run
        if meter is None:
            meter = last_meter(session, self._running.metered(session.transaction_id))
        if isinstance(known.event, StartRefused) and meter <= session.meter_start:
            return
        end = End(
            ended_at=message.at,
            meter_stop=meter,
            reason=message.reason,
            messages_missing=heard.missing(message.number),
        )
        await self._journal.end(session, end)

    def metered(
        self,
        charger: Charger,
        *,
        transaction: int | str | None,
        connector: int,
        at: int,
        meter: int | None = None,
        power: int | None = None,
    ) -> None:
        """Take a reading: of a transaction, by this side's id or the charger's name, or of a place.

        `at` in nanoseconds since the epoch, `meter` the register in watt-hours, `power` in
        watts. One that belongs to no running session is nobody's.
        """
        if isinstance(transaction, str):
            session = self._running.of_transaction(charger.id, transaction)
        elif transaction is not None and transaction > 0:
            session = self._running.get(transaction)
        else:
            session = next(
                (
                    each
                    for each in self._running.of_charger(charger.id)
                    if each.connector == connector != CHARGER_ITSELF
                ),
                None,
            )
        if session is not None and session.charger_id == charger.id:
            self._metering.metered(session, at=at, meter=meter, power=power)
            self._presuming.heard(session, at)

    async def end_in_the_books(self, session_id: str, actor: str) -> None:
        """End a running session without its charger, as `actor` wants it; over is over.

        With what was last heard of its meter. Should the charger tell the end after all,
        it is corrected. Durable when this returns; raises `SessionsUnavailableError`.
        """
        session = self._running.by_session_id(session_id)
        if session is None:
            return
        end = msgspec.structs.replace(self._presumed_end(session), actor=actor)
        await self._journal.end(session, end)

    def _presumed_end(self, session: RunningSession) -> End:
        """Return an end as of now, with what was last heard of the meter."""
        meter_stop = last_meter(session, self._running.metered(session.transaction_id))
        return End(ended_at=self._clock(), meter_stop=meter_stop, reason="Other", presumed=True)

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

        That of a refused start is recorded where energy flowed all the same. Durable when
        this returns; raises `SessionsUnavailableError`.
        """
        presented = None if token is None else self._look_up(charger, token).identification
        session = await self._session_to_end(
            charger, transaction_id, presented, ended_at, meter_stop
        )
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
        meter_stop: int,
    ) -> RunningSession | None:
        if transaction_id <= 0:
            return match_open(self._running.of_charger(charger.id), presented, ended_at)
        if transaction_id > MAX_TRANSACTION_ID:
            return None
        session = self._running.get(transaction_id)
        if session is not None:
            return session if session.charger_id == charger.id else None
        # Another replica may have begun it a moment ago, or it has ended, or was refused.
        recorded = await self._journal.find(transaction_id, charger.id)
        if recorded is None:
            return None
        refused = isinstance(recorded.event, StartRefused)
        return None if refused and meter_stop <= recorded.event.meter_start else recorded.session


def _verdict(event: SessionStarted | StartRefused) -> Decision:
    """Return the decision as it was recorded, even if the rules have changed since."""
    reason = Reason(event.reason)
    return Decision(
        status=Status(event.status),
        reason=reason,
        user_id=event.user_id,
        identification_id=event.identification_id,
        permission_id=permission_named(event.inputs, reason),
        valid_until=event.valid_until if isinstance(event, SessionStarted) else None,
    )
