"""Deciding: what is presented at a charger, from memory."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from nats.aio.client import Client

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published.sessions import AuthorizationRefused, Inputs
from chargekey_gateway.announcer import Announcer
from chargekey_gateway.application.reports import of, told_now
from chargekey_gateway.charger_states import ChargerStates
from chargekey_gateway.decision import (
    GUESSED,
    PERMITTED,
    Decision,
    Reason,
    accept_at_once,
    decide,
    explain,
)
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.metrics import COUNT_DECISION
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

# Those that nobody tries to find the owner of: typed ones, and the portal's own.
NOT_TOLD = frozenset({CodeClass.PIN, CodeClass.APP})
# A member of an enumeration costs a search where it is named.
_PIN = CodeClass.PIN


class DryRun(msgspec.Struct, frozen=True):
    """A decision that left no trace, how it came about and from which positions."""

    decision: Decision
    explanation: tuple[str, ...]
    positions: tuple[str, ...]


class Deciding:
    """Decides, and tells of refusals, guesses and unknown codes."""

    def __init__(
        self,
        client: Client,
        *,
        view: View,
        look_up: Lookup,
        lockouts: Lockouts,
        states: ChargerStates,
        unknown: Callable[[UnknownCode], None],
        clock: Callable[[], int],
    ) -> None:
        """Publish refusals over `client`; `clock` tells nanoseconds since the epoch."""
        self._view = view
        self._look_up = look_up
        self._lockouts = lockouts
        self._states = states
        self._unknown = unknown
        self._clock = clock
        # Apart from the reports, so that a storm of refusals drops none of these.
        self._refusals = Announcer(client)

    async def run(self) -> None:
        """Publish refusals until cancelled."""
        await self._refusals.run()

    async def idle(self) -> None:
        """Return once every refusal is told."""
        await self._refusals.idle()

    def authorize(
        self, charger: Charger, token: str, announced: CodeClass | None = None
    ) -> Decision:
        """Decide what was presented, from memory alone; a refusal is told by itself.

        `announced` is what the token is said to be, where anything is said.
        """
        now = self._clock()
        presented = self._look_up(charger, token)
        locked_out = presented.code_class is _PIN and self._lockouts.locked(charger, now)
        if presented.identification is not None and not locked_out:
            accepted = accept_at_once(charger, presented.identification, now)
            if accepted is not None:
                self._states.accepted(charger.id, now)
                COUNT_DECISION[accepted.reason]()
                if presented.code_class is _PIN:
                    self._lockouts.succeeded(charger, now)
                return accepted
        inputs = self.inputs(charger, presented, now, announced)
        decision = decide(inputs)
        COUNT_DECISION[decision.reason]()
        self.count_guess(charger, presented, decision, now)
        if decision.accepted:
            self._states.accepted(charger.id, now)
        else:
            self._refused(charger, inputs, decision)
            self.tell_unknown(charger, presented, decision, now)
        return decision

    def dry_run(
        self, charger: Charger | None, token: str, announced: CodeClass | None = None
    ) -> DryRun:
        """Decide as `authorize` would, explain it, and leave no trace; None: no such charger."""
        now = self._clock()
        if charger is None:
            inputs = Inputs(at=now, charger_known=False, positions=self._view.positions)
        else:
            inputs = self.inputs(charger, self._look_up(charger, token), now, announced)
        return DryRun(decide(inputs), explain(inputs), inputs.positions)

    # What a start is decided with, too.

    def inputs(
        self, charger: Charger, presented: Presented, at: int, announced: CodeClass | None = None
    ) -> Inputs:
        """Return what is known at `at` of who presents what where."""
        return gather(
            charger,
            presented,
            at=at,
            positions=self._view.positions,
            locked_out=presented.code_class is _PIN and self._lockouts.locked(charger, at),
            announced=announced,
        )

    def count_guess(
        self, charger: Charger, presented: Presented, decision: Decision, at: int
    ) -> None:
        """Count a wrong PIN, or begin anew after a right one (R14)."""
        if presented.code_class is not _PIN:
            return
        if decision.reason in GUESSED:
            self._lockouts.failed(charger, at)
        elif decision.reason in PERMITTED:
            self._lockouts.succeeded(charger, at)

    def tell_unknown(
        self, charger: Charger, presented: Presented, decision: Decision, at: int
    ) -> None:
        """Tell of a card that is nobody's: somebody may want to add it (R16)."""
        if (
            decision.reason is Reason.IDENTIFICATION_UNKNOWN
            and presented.code_class not in NOT_TOLD
        ):
            self._unknown(UnknownCode(charger.id, charger.installation.id, presented.token, at))

    def _refused(self, charger: Charger, inputs: Inputs, decision: Decision) -> None:
        event = AuthorizationRefused(
            **of(charger),
            status=decision.status,
            reason=decision.reason,
            inputs=inputs,
            user_id=decision.user_id,
            identification_id=decision.identification_id,
        )
        self._refusals.announce(event, told_now(charger.id, self._clock()))
