"""What the gateway does, one method a use: the surface of the OCPP handlers and of gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Protocol

import msgspec
import structlog
from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import CodeClass, KeyedIds
from chargekey_common.published.chargers import (
    ChargerBooted,
    ChargerConnected,
    ChargerDisconnected,
    ConnectorStatusChanged,
)
from chargekey_common.published.envelope import Attributes, PublishedEvent
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    Inputs,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway import reconcile
from chargekey_gateway.announcer import Announcer
from chargekey_gateway.charger_states import ChargerState, ChargerStates
from chargekey_gateway.decision import (
    BY_PERMISSION,
    GUESSED,
    PERMITTED,
    Decision,
    Reason,
    Status,
    accept_at_once,
    decide,
    explain,
)
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.metrics import CONNECTIONS, COUNT_DECISION
from chargekey_gateway.sessions.batches import End, Start
from chargekey_gateway.sessions.errors import SessionsUnavailableError
from chargekey_gateway.sessions.journal import PATIENCE, Journal
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSession, RunningSessions
from chargekey_gateway.sessions.stopping import match_open, may_stop, superseded
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.entries import Charger, Identification
from chargekey_gateway.view.view import View

__all__ = ["DryRun", "Gateway", "SessionsUnavailableError", "Started"]

# Those that nobody tries to find the owner of: typed ones, and the portal's own.
NOT_TOLD = frozenset({CodeClass.PIN, CodeClass.APP})
# A member of an enumeration costs a search where it is named.
_PIN = CodeClass.PIN

# A charger's clock that stands in 1970 must not bring expired codes back to life.
LONGEST_OFFLINE = 7 * 24 * 3600 * 10**9
FAREWELL = 2.0  # seconds
MAX_TRANSACTION_ID = 2**31 - 1  # OCPP 1.6 integers have 32 bits

log = structlog.get_logger()


class Connection(reconcile.Connection, Protocol):
    """A charger's open connection, as far as the gateway looks at it."""

    @property
    def version(self) -> str:
        """The OCPP version spoken."""


class Started(msgspec.Struct, frozen=True):
    """The answer to a start; a refused one has a transaction id too (OCPP 1.6 §4.8)."""

    transaction_id: int
    decision: Decision


class DryRun(msgspec.Struct, frozen=True):
    """A decision that left no trace, how it came about and from which positions."""

    decision: Decision
    explanation: tuple[str, ...]
    positions: tuple[str, ...]


class Gateway:
    """Decisions from memory, sessions made durable, chargers kept in line.

    Belongs to one event loop. `run` must be running for refusals and charger events to
    be published, and that of `lockouts` for other replicas to know of them; whoever
    follows the streams feeds `view`, `running` and `lockouts`.
    """

    def __init__(  # noqa: PLR0913 - what main wires together, each by its name
        self,
        client: Client,
        *,
        view: View,
        running: RunningSessions,
        keyed_ids: KeyedIds,
        start_keys: StartKeys,
        passwords: ChargerPasswords,
        unknown: Callable[[UnknownCode], None],
        clock: Callable[[], int],
        patience: float = PATIENCE,
    ) -> None:
        """Serve over `client`; tell `unknown` of cards that are nobody's.

        `clock` tells nanoseconds since the epoch, `patience` is seconds.
        """
        self.view = view
        self.running = running
        self.reconciler = reconcile.Reconciler(view, running, clock=clock)
        self.journal = Journal(client, running, clock=clock, patience=patience)
        # Apart from each other, so that a storm of refusals drops no charger's report.
        self._refusals = Announcer(client)
        self._reports = Announcer(client)
        self.lockouts = Lockouts(client, tell=self._reports.announce, clock=clock)
        self._states = ChargerStates(running)
        self._look_up = Lookup(view, keyed_ids)
        self._unknown = unknown
        self._start_keys = start_keys
        self._passwords = passwords
        self._clock = clock
        self._patience = patience

    async def run(self) -> None:
        """Publish and reconcile until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._refusals.run())
                tasks.create_task(self._reports.run())
        finally:
            await self.reconciler.close()

    async def tell_the_rest(self, within: float = FAREWELL) -> None:
        """Return once refusals, reports and lockouts are told, or after `within` seconds.

        The last of a gateway's life: that it has let its chargers go.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._refusals.idle()
                await self.lockouts.idle()
                await self._reports.idle()

    # Chargers.

    def charger_by_identity(self, ocpp_identity: str) -> Charger | None:
        """Return the charger that connects under this name."""
        return self.view.charger_by_ocpp_identity(ocpp_identity)

    def password_matches(self, charger: Charger, password: str) -> bool:
        """Whether this is the charger's password; one without a credential has none."""
        known = charger.password_hash
        return known is not None and self._passwords.matches(charger.id, password, known)

    def connected(self, connection: Connection) -> None:
        """Take care of the charger over this connection."""
        charger = connection.charger
        CONNECTIONS.labels(connection.version).inc()
        self._report(ChargerConnected(**_of(charger), ocpp_version=connection.version))
        self.reconciler.connected(connection)

    def disconnected(self, connection: Connection) -> None:
        """Let go of the connection."""
        self.reconciler.disconnected(connection)
        CONNECTIONS.labels(connection.version).dec()
        self._report(ChargerDisconnected(**_of(connection.charger)))

    def booted(
        self, charger: Charger, *, vendor: str, model: str, firmware_version: str | None
    ) -> None:
        """Tell what the charger says of itself."""
        self._report(
            ChargerBooted(
                **_of(charger), vendor=vendor, model=model, firmware_version=firmware_version
            )
        )

    def connector_status(
        self, charger: Charger, *, connector: int, status: str, error_code: str
    ) -> None:
        """Tell the state of a connector, or with 0 of the whole charger."""
        self._states.told(charger.id, connector, status)
        self._report(
            ConnectorStatusChanged(
                **_of(charger), connector=connector, status=status, error_code=error_code
            )
        )

    def charger_states(
        self, chargers: Iterable[Charger], online: Container[str]
    ) -> Sequence[ChargerState]:
        """Return how chargers are, by their ids; `online` are those connected here."""
        now = self._clock()
        return [
            self._states.of(charger, online=online, at=now)
            for charger in sorted(chargers, key=lambda each: each.id)
        ]

    # Decisions.

    def authorize(self, charger: Charger, token: str) -> Decision:
        """Decide what was presented, from memory alone; a refusal is told by itself."""
        now = self._clock()
        presented = self._look_up(charger, token)
        locked_out = presented.code_class is _PIN and self.lockouts.locked(charger, now)
        if presented.identification is not None and not locked_out:
            accepted = accept_at_once(charger, presented.identification, now)
            if accepted is not None:
                self._states.accepted(charger.id, now)
                COUNT_DECISION[accepted.reason]()
                if presented.code_class is _PIN:
                    self.lockouts.succeeded(charger, now)
                return accepted
        inputs = self._inputs(charger, presented, now)
        decision = decide(inputs)
        COUNT_DECISION[decision.reason]()
        self._count_guess(charger, presented, decision, now)
        if decision.accepted:
            self._states.accepted(charger.id, now)
        else:
            self._refused(charger, inputs, decision)
            self._tell_unknown(charger, presented, decision, now)
        return decision

    def dry_run(
        self, charger: Charger | None, token: str, announced: CodeClass | None = None
    ) -> DryRun:
        """Decide as `authorize` would, explain it, and leave no trace; None: no such charger.

        `announced` is what the token is said to be, where anything is said.
        """
        now = self._clock()
        if charger is None:
            inputs = Inputs(at=now, charger_known=False, positions=self.view.positions)
        else:
            inputs = self._inputs(charger, self._look_up(charger, token), now, announced)
        return DryRun(decide(inputs), explain(inputs), inputs.positions)

    # Sessions.

    async def start_session(
        self, charger: Charger, *, connector: int, token: str, started_at: int, meter_start: int
    ) -> Started:
        """Decide and record a start, once; sent again it gets the same id and verdict.

        Judged as of its start, so that what happened offline counts as it did there
        (R23), a week at the most; a clock ahead of the server's counts as now.
        Durable when this returns; raises `SessionsUnavailableError`.
        """
        now = self._clock()
        judged_at = max(min(started_at, now), now - LONGEST_OFFLINE)
        presented = self._look_up(charger, token)
        inputs = self._inputs(charger, presented, judged_at)
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
        )
        try:
            async with asyncio.timeout(self._patience):  # for the two together
                await self._end_superseded(start)
                recorded = await self.journal.start(start, inputs)
        except TimeoutError:
            raise SessionsUnavailableError from None
        self._states.started(charger.id)
        verdict = _verdict(recorded.event)
        # Sent again it is the same one: as of when it was judged.
        self._count_guess(charger, presented, verdict, recorded.event.inputs.at)
        self._tell_unknown(charger, presented, verdict, judged_at)
        return Started(recorded.transaction_id, verdict)

    async def _end_superseded(self, start: Start) -> None:
        """End what the charger has left behind, or its lock would outlive it (R21).

        The new start's time and meter are the last that can be said of it.
        """
        for session in superseded(self.running.of_charger(start.charger_id), start):
            log.warning(
                "session_superseded", charger=start.charger_id, transaction=session.transaction_id
            )
            end = End(ended_at=start.started_at, meter_stop=start.meter_start, reason="Other")
            await self.journal.end(session, end)

    async def end_session(
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
        await self.journal.end(session, end)

    async def _session_to_end(
        self,
        charger: Charger,
        transaction_id: int,
        presented: Identification | None,
        ended_at: int,
    ) -> RunningSession | None:
        if transaction_id <= 0:
            return match_open(self.running.of_charger(charger.id), presented, ended_at)
        if transaction_id > MAX_TRANSACTION_ID:
            return None
        session = self.running.get(transaction_id)
        if session is None:
            # Another replica may have begun it a moment ago, or it has ended.
            return await self.journal.find(transaction_id, charger.id)
        return session if session.charger_id == charger.id else None

    def _inputs(
        self, charger: Charger, presented: Presented, at: int, announced: CodeClass | None = None
    ) -> Inputs:
        return gather(
            charger,
            presented,
            at=at,
            positions=self.view.positions,
            locked_out=presented.code_class is _PIN and self.lockouts.locked(charger, at),
            announced=announced,
        )

    def _count_guess(
        self, charger: Charger, presented: Presented, decision: Decision, at: int
    ) -> None:
        if presented.code_class is not _PIN:
            return
        if decision.reason in GUESSED:
            self.lockouts.failed(charger, at)
        elif decision.reason in PERMITTED:
            self.lockouts.succeeded(charger, at)

    def _tell_unknown(
        self, charger: Charger, presented: Presented, decision: Decision, at: int
    ) -> None:
        if (
            decision.reason is Reason.IDENTIFICATION_UNKNOWN
            and presented.code_class not in NOT_TOLD
        ):
            self._unknown(UnknownCode(charger.id, charger.installation.id, presented.token, at))

    def _refused(self, charger: Charger, inputs: Inputs, decision: Decision) -> None:
        event = AuthorizationRefused(
            **_of(charger),
            status=decision.status,
            reason=decision.reason,
            inputs=inputs,
            user_id=decision.user_id,
            identification_id=decision.identification_id,
        )
        self._refusals.announce(event, self._about(charger.id))

    def _report(self, event: PublishedEvent) -> None:
        self._reports.announce(event, self._about(getattr(event, event.about[1])))

    def _about(self, charger_id: str) -> Attributes:
        return Attributes(
            id=str(uuid.uuid4()), at=self._clock(), cause="", actor=f"charger:{charger_id}"
        )


def _of(charger: Charger) -> dict[str, str]:
    return {"charger_id": charger.id, "installation_id": charger.installation.id}


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
