"""Deciding: what is presented at a charger, from memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import lru_cache, partial
from typing import Any, Protocol

import msgspec
from nats.aio.client import Client

from chargekey_common.keyed_ids import CodeClass, KeyedIds
from chargekey_common.published.sessions import AuthorizationRefused, Inputs, OperatorAnswer
from chargekey_gateway.announcer import Announcer
from chargekey_gateway.application.reports import of, told_now
from chargekey_gateway.charger_states import ChargerStates
from chargekey_gateway.commands import ANONYMOUS, RemoteStart
from chargekey_gateway.decision import (
    APP,
    GUESSED,
    PERMITTED,
    AskOperator,
    Decision,
    NamedDecision,
    Reason,
    Status,
    Taken,
    accept_at_once,
    decide,
    decided,
    explain,
    may_only_stop,
    taken,
)
from chargekey_gateway.inputs import Presented, gather
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.metrics import COUNT_DECISION
from chargekey_gateway.operators.last_known import Whitelisted
from chargekey_gateway.operators.question import Stage
from chargekey_gateway.remote_starts import RemoteStarts
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

# Those that nobody tries to find the owner of: typed ones, and the portal's own.
NOT_TOLD = frozenset({CodeClass.PIN, CodeClass.APP})
GROUPS_REMEMBERED = 100_000
# Nanoseconds. A charger without a connection shall not go by what somebody was an hour ago.
MASTER_PASS_FOR = 60 * 10**9
# A member of an enumeration costs a search where it is named.
_PIN = CodeClass.PIN


class DryRun(msgspec.Struct, frozen=True):
    """A decision that left no trace, and what it was made from.

    No operator is asked for one: where his answer decides, it is not known.
    """

    decision: NamedDecision | AskOperator
    inputs: Inputs

    @property
    def explanation(self) -> tuple[str, ...]:
        """How it came about, a line a step; worked out anew each time."""
        return explain(self.inputs)

    @property
    def steps(self) -> tuple[Taken, ...]:
        """The same steps as values; worked out anew each time."""
        return taken(self.inputs)

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions of the view that it was made from, one a service."""
        return self.inputs.positions


class LetIn(msgspec.Struct, frozen=True):
    """Where a charger stood when it was offline, and what let somebody in there."""

    installation_id: str
    inputs: Inputs


class Operators(Protocol):
    """Whoever asks the operators of managed sites."""

    async def ask(
        self,
        charger: Charger,
        presented: Presented,
        *,
        at: int,
        stage: Stage = "authorize",
        connector: int | None = None,
    ) -> OperatorAnswer:
        """Return what the operator says of who presents something there; never raises."""

    def allow(
        self, charger: Charger, token: str, answer: OperatorAnswer, *, partner_id: str, at: int
    ) -> None:
        """Hear what the operator says of a token that it has the charger start with."""

    def remember_tokens(
        self, partner_id: str, tokens: Iterable[tuple[str, Whitelisted | None]]
    ) -> None:
        """Remember what the operator says of tokens wherever they are presented; never raises."""


class NobodyToAsk:
    """No operator can be reached from here."""

    async def ask(
        self,
        charger: Charger,  # noqa: ARG002 - nobody is told of it
        presented: Presented,  # noqa: ARG002
        *,
        at: int,  # noqa: ARG002
        stage: Stage = "authorize",  # noqa: ARG002
        connector: int | None = None,  # noqa: ARG002
    ) -> OperatorAnswer:
        """Say so."""
        return OperatorAnswer(status="UNREACHABLE")

    def allow(
        self, charger: Charger, token: str, answer: OperatorAnswer, *, partner_id: str, at: int
    ) -> None:
        """Hear nothing: nobody asks for it."""

    def remember_tokens(
        self, partner_id: str, tokens: Iterable[tuple[str, Whitelisted | None]]
    ) -> None:
        """Remember nothing."""


class Asking:
    """A decision that is an operator's: await it, and he is asked."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], Awaitable[Decision]]) -> None:
        self._ask = ask

    def __await__(self) -> Generator[Any, None, Decision]:
        """Ask, and only now: nobody is asked for an answer that nobody awaits."""
        return self._ask().__await__()


class Deciding:
    """Decides, and tells of refusals, guesses and unknown codes."""

    def __init__(  # noqa: PLR0913 - what the gateway wires together, each by its name
        self,
        client: Client,
        *,
        view: View,
        look_up: Lookup,
        keyed_ids: KeyedIds,
        lockouts: Lockouts,
        remote_starts: RemoteStarts,
        knows_master_pass: Callable[[Charger], bool],
        states: ChargerStates,
        unknown: Callable[[UnknownCode], None],
        clock: Callable[[], int],
        operators: Operators,
    ) -> None:
        """Publish refusals over `client`; `clock` tells nanoseconds since the epoch."""
        self._operators = operators
        self._view = view
        self._look_up = look_up
        # Of whoever taps every day, so that his tap does not pay for it.
        self._group_token = lru_cache(maxsize=GROUPS_REMEMBERED)(keyed_ids.group_token)
        self._lockouts = lockouts
        self._remote_starts = remote_starts
        self._knows_master_pass = knows_master_pass
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
        self,
        charger: Charger,
        token: str,
        announced: CodeClass | None = None,
        *,
        to_stop: bool = False,
    ) -> Decision | Asking:
        """Decide what was presented, from memory alone; a refusal is told by itself.

        `announced` is what the token is said to be, where anything is said. Where the
        operator of the site decides, await the answer: that asks him. With `to_stop` who may
        not charge may have come to stop: then that is no refusal, and is told to nobody.
        """
        now = self._clock()
        presented = self._look_up(charger, token)
        locked_out = presented.code_class is _PIN and self._lockouts.locked(charger, now)
        if presented.identification is not None and not locked_out:
            known = presented.identification
            group = self._group_token(known.terms.group_id, known.user.id, charger.installation.id)
            accepted = accept_at_once(charger, known, now, group)
            if accepted is not None:
                self._states.accepted(charger.id, now)
                COUNT_DECISION[accepted.reason]()
                if presented.code_class is _PIN:
                    self._lockouts.succeeded(charger, now)
                return accepted
        presented = self.expected(charger, presented, now)
        inputs = self.inputs(charger, presented, now, announced)
        decision = decide(inputs)
        stopping = self._master_pass(charger, presented, decision, now) if to_stop else None
        if stopping is not None:
            COUNT_DECISION[stopping.reason]()
            return stopping
        if isinstance(decision, AskOperator):
            # No lambda: it would cost every tap the cells for what it remembers.
            return Asking(partial(self._ask, charger, presented, inputs))
        return self._told(charger, presented, inputs, decision)

    async def _ask(self, charger: Charger, presented: Presented, inputs: Inputs) -> Decision:
        answer = await self._operators.ask(charger, presented, at=inputs.at)
        inputs = msgspec.structs.replace(inputs, operator_answer=answer)
        return self._told(charger, presented, inputs, decided(inputs))

    def _told(
        self, charger: Charger, presented: Presented, inputs: Inputs, decision: NamedDecision
    ) -> Decision:
        """Count the decision, tell of a refusal, and return it."""
        COUNT_DECISION[decision.reason]()
        self.count_guess(charger, presented, decision, inputs.at)
        if decision.accepted:
            self._states.accepted(charger.id, inputs.at)
        else:
            self._refused(charger, inputs, decision)
            self.tell_unknown(charger, presented, decision, inputs.at)
        return self.grouped(charger, decision, inputs.group_id)

    def dry_run(
        self,
        charger: Charger | None,
        token: str,
        announced: CodeClass | None = None,
        *,
        from_afar: bool = False,
    ) -> DryRun:
        """Decide as `authorize` would, and leave no trace; None: no such charger.

        With `from_afar` as it would once a remote start with the token was asked for there.
        """
        now = self._clock()
        if charger is None:
            inputs = Inputs(at=now, charger_known=False, positions=self._view.positions)
        else:
            presented = self._look_up(charger, token)
            if not from_afar:
                presented = self.expected(charger, presented, now)
            inputs = self.inputs(charger, presented, now, announced)
        return DryRun(decide(inputs), inputs)

    def if_allowed(self, charger: Charger, token: str) -> Decision:
        """Decide as if the operator of the charger's site had allowed it; leaves no trace."""
        now = self._clock()
        presented = self.expected(charger, self._look_up(charger, token), now)
        allowed = OperatorAnswer(status="ALLOWED")
        inputs = self.inputs(charger, presented, now)
        return decided(msgspec.structs.replace(inputs, operator_answer=allowed))

    def allowed_from_afar(self, charger: Charger, start: RemoteStart) -> None:
        """Go by it, when the token comes back from the charger, that its operator sent it."""
        if start.allowed_by is not None:
            self._operators.allow(
                charger,
                self._look_up(charger, start.token).token,
                OperatorAnswer(status="ALLOWED", reference=start.reference),
                partner_id=start.allowed_by,
                at=start.asked_at,
            )

    # What a start is decided with, too.

    def expected(self, charger: Charger, presented: Presented, *times: int) -> Presented:
        """Return what is presented; nobody's, where it should not be there at any of `times`.

        That is the code of an app where no remote start with it was asked for just before.
        In nanoseconds since the epoch.
        """
        known = presented.identification
        if known is None or known.type != APP:
            return presented
        if any(self._remote_starts.covers(charger.id, known.id, at) for at in times):
            return presented
        return msgspec.structs.replace(presented, identification=None)

    def master_pass_of(
        self, charger: Charger, presented: Presented, announced: CodeClass | None = None
    ) -> Decision | None:
        """Return with what who is presented may stop, where that is all he may; tells nobody."""
        now = self._clock()
        decision = decide(self.inputs(charger, presented, now, announced))
        return self._master_pass(charger, presented, decision, now)

    def _master_pass(
        self, charger: Charger, presented: Presented, decision: Decision | AskOperator, at: int
    ) -> Decision | None:
        """Return with what somebody who may not charge may stop (OCPP 2.x C16).

        Not where the charger knows of no master pass: it would take him for one who may charge.
        """
        if isinstance(decision, AskOperator):
            return None
        known = presented.identification
        if known is None or not self._knows_master_pass(charger):
            return None
        if not may_only_stop(decision, looks_after=self._view.looks_after(known.user, charger, at)):
            return None
        return msgspec.structs.replace(
            decision,
            master_pass=True,
            group=charger.installation.id,
            valid_until=at + MASTER_PASS_FOR,
        )

    def asks_operator(self, inputs: Inputs) -> bool:
        """Whether the decision is an operator's, who has not been asked."""
        return isinstance(decide(inputs), AskOperator)

    async def with_answer(
        self, charger: Charger, presented: Presented, inputs: Inputs, *, connector: int
    ) -> Inputs:
        """Return the inputs of a start with what the operator says of it; never raises."""
        answer = await self._operators.ask(
            charger, presented, at=inputs.at, stage="start", connector=connector
        )
        return msgspec.structs.replace(inputs, operator_answer=answer)

    def inputs(
        self,
        charger: Charger,
        presented: Presented,
        at: int,
        announced: CodeClass | None = None,
        *,
        was: Charger | None = None,
    ) -> Inputs:
        """Return what is known at `at` of who presents what where; `was` is the charger then.

        PINs that are locked now are locked, whatever time a charger gives for its start:
        whoever chooses that could guess on in the past (R14). So is a view that is behind now:
        what it holds of the past may lack something, too (O50).
        """
        return gather(
            charger if was is None else was,
            presented,
            at=at,
            positions=self._view.positions,
            locked_out=presented.code_class is _PIN
            and self._lockouts.locked(charger, self._clock()),
            announced=announced,
            view_behind=self._view.is_behind(charger),
        )

    def let_in_then(
        self, charger: Charger, token: str, now: Inputs, announced: CodeClass | None = None
    ) -> LetIn | None:
        """Return what lets in whoever began at `now.at`, by what was known then, if it does (R23).

        `now` is what is known now. Where that leaves it to an operator, it is his; and whom
        neither lets in is refused by that, since chargers keep the answer and guesses count.
        """
        then = None if now.managed_externally else self._view.past.then(charger, now.at)
        if then is None:
            return None
        presented = self._look_up.then(then, token)
        presented = self.expected(charger, presented, now.at, self._clock())
        inputs = self.inputs(charger, presented, now.at, announced, was=then.charger)
        if not _accepts(inputs):
            return None
        same = inputs.identification_id == now.identification_id
        inputs = msgspec.structs.replace(inputs, withdrawn=not (same and _accepts(now)))
        return LetIn(then.charger.installation.id, inputs)

    def grouped(self, charger: Charger, decision: NamedDecision, group_id: str | None) -> Decision:
        """Return the decision with the token of its group, or its user, at that charger's site.

        A refusal says none: nothing that is blocked, or was lost, stops anything. But who
        charges already may tap to stop.
        """
        if not decision.accepted and decision.status is not Status.CONCURRENT_TX:
            return decision
        group = self._group_token(group_id, decision.user_id, charger.installation.id)
        return decision if group is None else msgspec.structs.replace(decision, group=group)

    def count_guess(
        self,
        charger: Charger,
        presented: Presented,
        decision: Decision,
        at: int,
        *,
        start_key: str | None = None,
    ) -> None:
        """Count a wrong PIN, or begin anew after a right one (R14); that of one start once."""
        if presented.code_class is not _PIN:
            return
        if start_key is not None and self._lockouts.is_told_again(start_key):
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
            and presented.token not in {"", ANONYMOUS}
        ):
            self._unknown(UnknownCode(charger.id, charger.installation.id, presented.token, at))

    def _refused(self, charger: Charger, inputs: Inputs, decision: NamedDecision) -> None:
        event = AuthorizationRefused(
            **of(charger),
            status=decision.status,
            reason=decision.reason,
            inputs=inputs,
            user_id=decision.user_id,
            identification_id=decision.identification_id,
        )
        self._refusals.announce(event, told_now(charger.id, self._clock()))


def _accepts(inputs: Inputs) -> bool:
    decision = decide(inputs)
    return isinstance(decision, Decision) and decision.accepted
