"""Charging: starts and stops of OCPP 1.6, readings, and ends that people want in the books."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from chargekey_common.published.sessions import StartRefused
from chargekey_gateway.application.metering import Metering
from chargekey_gateway.application.presuming import Presuming, presumed_end
from chargekey_gateway.application.starting import Starting, Who
from chargekey_gateway.charger_states import CHARGER_ITSELF
from chargekey_gateway.decision import Decision
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.batches import End, Start
from chargekey_gateway.sessions.journal import Journal
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.sessions.stopping import match_open, may_stop
from chargekey_gateway.view.entries import Charger, Identification

MAX_TRANSACTION_ID = 2**31 - 1  # OCPP 1.6 integers have 32 bits
# A start that is told this much later than it was has waited for a connection. A charger
# that has one tells it within seconds; the rest is for clocks, which chargers set when they
# boot and by Heartbeat.
CLEARLY_EARLIER = 5 * 60 * 10**9

log = structlog.get_logger()


class Started(msgspec.Struct, frozen=True):
    """The answer to a start; a refused one has a transaction id too (OCPP 1.6 §4.8)."""

    transaction_id: int
    decision: Decision


class Charging:
    """Takes what is told of sessions by their ids here; belongs to one event loop."""

    def __init__(
        self,
        *,
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
        self._starting = starting
        self._look_up = look_up
        self._journal = journal
        self._running = running
        self._start_keys = start_keys
        self._metering = metering
        self._presuming = presuming
        self._clock = clock
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
        recorded, verdict = await self._starting.begin(charger, start, Who(token, began_at))
        return Started(recorded.transaction_id, verdict)

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

    def metered(
        self,
        charger: Charger,
        *,
        transaction: int | None,
        connector: int,
        at: int,
        meter: int | None = None,
        power: int | None = None,
    ) -> None:
        """Take a reading: of a transaction, or of a connector where none is named.

        `at` in nanoseconds since the epoch, `meter` the register in watt-hours, `power` in
        watts. One that belongs to no running session is nobody's.
        """
        if transaction is not None and transaction > 0:
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
        last = self._running.metered(session.transaction_id)
        end = presumed_end(session, last, self._clock())
        await self._journal.end(session, msgspec.structs.replace(end, actor=actor))
