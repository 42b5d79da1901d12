"""Metering: what the meters of running sessions say, summarised."""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.client import Client

from chargekey_common import tracing
from chargekey_common.published.envelope import Attributes
from chargekey_common.published.sessions import SessionUpdated
from chargekey_gateway.announcer import Announcer
from chargekey_gateway.sessions.keys import update_event_id
from chargekey_gateway.sessions.running import Metered, RunningSession, RunningSessions

# A charger may tell every second. The stream keeps what it is told for good, and its
# sequences are OCPP 1.6's transaction ids, which end at 2^31: at this rate 10 000 sessions
# that run day and night use a million of them a day.
SELDOM = 15 * 60 * 10**9


class Metering:
    """Knows each running session's last reading, and tells it now and then.

    Nobody waits for it: what cannot be published any more is made up for by the next.
    """

    def __init__(
        self, client: Client, running: RunningSessions, *, clock: Callable[[], int]
    ) -> None:
        """Publish over `client`; `clock` tells nanoseconds since the epoch."""
        # Apart from refusals and reports, which it could push out of their queues.
        self._announcer = Announcer(client)
        self._running = running
        self._clock = clock
        self._told_at: dict[int, int] = {}  # by transaction, for as long as it runs here
        running.on_end(self._over)

    async def run(self) -> None:
        """Publish until cancelled."""
        await self._announcer.run()

    async def idle(self) -> None:
        """Return once everything is told."""
        await self._announcer.idle()

    def metered(
        self, session: RunningSession, *, at: int, meter: int | None, power: int | None
    ) -> None:
        """Take a reading of `at` (nanoseconds since the epoch): watt-hours and watts.

        Told at the first, and then at most every `SELDOM`. An older one than is known
        says nothing new.
        """
        now = self._clock()
        at = min(at, now)  # a clock ahead would make every later reading an older one
        known = self._running.metered(session.transaction_id)
        if (known is not None and at <= known.at) or at < session.started_at:
            return
        if meter is None:
            meter = last_meter(session, known)
        self._running.updated(session.transaction_id, Metered(at, meter))
        told_at = self._told_at.get(session.transaction_id)
        if told_at is not None and now < told_at + SELDOM:
            return
        self._told_at[session.transaction_id] = now
        event = SessionUpdated(
            installation_id=session.installation_id,
            charger_id=session.charger_id,
            session_id=session.session_id,
            transaction_id=session.transaction_id,
            connector=session.connector,
            at=at,
            meter=meter,
            power=power,
            user_id=session.user_id,
            identification_id=session.identification_id,
        )
        event_id = update_event_id(session.transaction_id, at)
        actor = f"charger:{session.charger_id}"
        self._announcer.announce(
            event, Attributes(id=event_id, at=now, cause="", actor=actor, trace=tracing.current())
        )

    def _over(self, session: RunningSession) -> None:
        self._told_at.pop(session.transaction_id, None)


def last_meter(session: RunningSession, known: Metered | None) -> int:
    """Return the last known register of a session, in watt-hours: the first where no other is."""
    return session.meter_start if known is None else known.meter
