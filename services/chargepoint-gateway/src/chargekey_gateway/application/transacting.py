"""Transacting: what chargers of OCPP 2.x tell of their transactions, made sessions."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published.sessions import StartRefused
from chargekey_gateway.application.deciding import Deciding
from chargekey_gateway.application.metering import Metering, last_meter
from chargekey_gateway.application.presuming import Presuming
from chargekey_gateway.application.starting import Starting, Who
from chargekey_gateway.decision import OCPP16_STATUS, Decision, Reason
from chargekey_gateway.inputs import Presented
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.batches import End, Start
from chargekey_gateway.sessions.journal import Journal, Recorded
from chargekey_gateway.sessions.keys import StartKeys, session_id
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.sessions.stopping import may_stop
from chargekey_gateway.sessions.transactions import (
    Heard,
    Phase,
    TransactionMessage,
    Transactions,
)
from chargekey_gateway.sessions.verifying import refusal
from chargekey_gateway.view.entries import Charger

# The numbers of the messages by one of which somebody begins a transaction of OCPP 2.x; a
# later one is recognised as the same message alone.
BEGINNING = range(16)

log = structlog.get_logger()


class Transacting:
    """Takes the messages of transactions, in whatever order; belongs to one event loop."""

    def __init__(  # noqa: PLR0913 - what the gateway wires together, each by its name
        self,
        *,
        deciding: Deciding,
        starting: Starting,
        look_up: Lookup,
        journal: Journal,
        running: RunningSessions,
        start_keys: StartKeys,
        metering: Metering,
        presuming: Presuming,
        clock: Callable[[], int],
    ) -> None:
        """`clock` tells nanoseconds since the epoch."""
        self._deciding = deciding
        self._starting = starting
        self._look_up = look_up
        self._journal = journal
        self._running = running
        self._start_keys = start_keys
        self._metering = metering
        self._presuming = presuming
        self._clock = clock
        self._transactions = Transactions()

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
            meter_start=heard.meter_start,
            ocpp_transaction_id=message.transaction,
            offline=message.offline,
        )
        who = Who(token, message.at, message.announced)
        recorded, decision = await self._starting.begin(charger, start, who)
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
        verdict = self._starting.verdict(charger, known)
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
        if session.identification_id is None or (
            who.identification is not None and may_stop(session, who.identification)
        ):
            return verdict
        stopping = self._deciding.master_pass_of(charger, who, announced)
        if stopping is not None:
            return stopping
        log.warning("stopped_by_another", charger=charger.id, transaction=known.transaction_id)
        return Decision(OCPP16_STATUS[Reason.NO_PERMISSION], Reason.NO_PERMISSION)

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

    async def _meter(
        self, known: Recorded, message: TransactionMessage, heard: Heard
    ) -> int | None:
        """Return the register of the message as what began in the transaction counts it."""
        if known is heard.refused:
            # Nobody meters what does not run, and another replica knows nothing of it.
            meter = heard.meter_highest if message.meter is None else message.meter
            if meter is None or not known.event.meter_unknown:
                return meter
            return heard.counted(meter)
        session = known.session
        if message.meter_began is not None:
            await self._journal.counted(session, message.meter_began)
        if message.meter is None:
            return None
        return await self._journal.counted(session, message.meter)

    async def _go_on(self, known: Recorded, message: TransactionMessage, heard: Heard) -> None:
        """Take what the message says of the session beside whom it presents."""
        meter = await self._meter(known, message, heard)
        running = self._running.get(known.transaction_id)
        if running is not None:
            if meter is not None or message.power is not None:
                self._metering.metered(running, at=message.at, meter=meter, power=message.power)
            if not message.offline:
                self._presuming.heard(running, message.at)
        if message.phase is not Phase.ENDED:
            return
        session = running or known.session
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
