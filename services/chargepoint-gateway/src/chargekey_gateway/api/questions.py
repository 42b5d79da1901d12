"""Questions what a charger would be answered: one, many at once, and one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from prometheus_client import Counter

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey_common.errors import ChargekeyError, TooManyAttemptsError, UnavailableError
from chargekey_common.grpc.server import current_caller, require
from chargekey_common.keyed_ids import CodeClass
from chargekey_common.positions import Position
from chargekey_gateway.api.errors import (
    MOST_POSITIONS,
    MOST_QUESTIONS,
    ChargerNotNamedError,
    TooManyPositionsError,
    TooManyQuestionsError,
    TypeMismatchError,
    TypeUnknownError,
)
from chargekey_gateway.api.pin_questions import PinQuestions
from chargekey_gateway.api.steps import OPERATOR_DECIDES, told
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import AskOperator, Status
from chargekey_gateway.view.entries import Charger

# Whose rule holds for every question, however it comes.
METHOD = "Authorize"
LONGEST_WAIT = 4.0  # seconds for the view to get where `at_least` wants it, in all of one request
# After so many decisions of a batch chargers' taps have their turn: a millisecond.
A_TURN = 50
# Chargers that access is asked about at the same time, for one batch.
ASKED_AT_ONCE = 16

_STATUS: dict[Status, Any] = {
    Status.ACCEPTED: pb.AUTHORIZATION_STATUS_ACCEPTED,
    Status.BLOCKED: pb.AUTHORIZATION_STATUS_BLOCKED,
    Status.EXPIRED: pb.AUTHORIZATION_STATUS_EXPIRED,
    Status.INVALID: pb.AUTHORIZATION_STATUS_INVALID,
    Status.CONCURRENT_TX: pb.AUTHORIZATION_STATUS_CONCURRENT_TX,
}
_CLASSES: dict[int, CodeClass | None] = {
    pb.TOKEN_TYPE_UNSPECIFIED: None,
    pb.TOKEN_TYPE_RFID: CodeClass.UID,
    pb.TOKEN_TYPE_PIN: CodeClass.PIN,
}
_QUESTIONS = Counter(
    "authorize_questions_total",
    "Questions in batches and streams what a charger would be answered, by what came of them.",
    ["method", "code"],
)
# To find one by its labels takes longer than to count.
_COUNT_ANSWER = {method: _QUESTIONS.labels(method, "OK").inc for method in ("batch", "stream")}


class Questions:
    """Answers them as the gateway decides, to whoever may ask; leaves no trace but a count."""

    def __init__(self, gateway: Gateway, clock: Callable[[], int]) -> None:
        """Limit questions about PINs by `clock`, nanoseconds."""
        self._gateway = gateway
        self._pin_questions = PinQuestions(clock)

    def about(self, request: pb.AuthorizeRequest) -> str:
        """Return what the rules are asked about; raises ChargerNotNamedError."""
        return _object(request, self._charger(request))

    async def answer(
        self, request: pb.AuthorizeRequest, within: float = LONGEST_WAIT
    ) -> pb.AuthorizeResponse:
        """Decide for a caller who may ask `about` it; waits for `at_least` so many seconds."""
        if request.type not in _CLASSES:
            raise TypeUnknownError
        is_pin = request.code.startswith("#")
        if request.type and is_pin != (request.type == pb.TOKEN_TYPE_PIN):
            raise TypeMismatchError
        if request.at_least:
            await self._wait_for(request.at_least, within)
        charger = self._charger(request)
        if request.ocpp_identity:
            # Meanwhile it may have become the name of another one.
            await require(METHOD, _object(request, charger))
        if is_pin and charger is not None:
            self._pin_questions.ask(current_caller(), charger.installation.id)
        run = self._gateway.deciding.dry_run(charger, request.code, _CLASSES[request.type])
        decision = run.decision
        if isinstance(decision, AskOperator):
            # UNSPECIFIED: who is not asked has not decided.
            answer = pb.AuthorizeResponse(reason=OPERATOR_DECIDES, positions=run.positions)
        else:
            answer = pb.AuthorizeResponse(
                status=_STATUS[decision.status],
                reason=decision.reason,
                valid_until=decision.valid_until,
                permission_id=decision.permission_id or "",
                identification_id=decision.identification_id or "",
                positions=run.positions,
            )
        if request.explain:
            answer.explanation.extend(run.explanation)
            answer.steps.extend(told(run.steps))
        return answer

    async def batch(self, requests: Sequence[pb.AuthorizeRequest]) -> list[pb.AuthorizeOutcome]:
        """Answer them all, in their order.

        Raises TooManyQuestionsError, and UnavailableError where access cannot be asked.
        """
        if len(requests) > MOST_QUESTIONS:
            raise TooManyQuestionsError
        refused = await self._refused(requests)
        clock = asyncio.get_running_loop().time
        patient_until = clock() + LONGEST_WAIT
        outcomes = []
        for number, request in enumerate(requests, start=1):
            try:
                refusal = refused.get(self.about(request))
                if refusal is not None:
                    raise refusal
                within = max(0.0, patient_until - clock())
                outcomes.append(_decision("batch", await self.answer(request, within)))
            except ChargekeyError as error:
                outcomes.append(_refusal("batch", error))
            if number % A_TURN == 0:
                await asyncio.sleep(0)
        return outcomes

    async def stream(
        self, requests: AsyncIterator[pb.AuthorizeStreamRequest]
    ) -> AsyncGenerator[pb.AuthorizeOutcome, None]:
        """Answer each before the next one is read."""
        async for request in requests:
            question = request.question
            try:
                await require(METHOD, self.about(question))
                outcome = _decision("stream", await self.answer(question))
            except ChargekeyError as error:
                outcome = _refusal("stream", error)
            yield outcome

    async def _refused(self, requests: Iterable[pb.AuthorizeRequest]) -> dict[str, ChargekeyError]:
        """Ask access about each charger once; return why not, where the caller may not ask."""
        asked = dict.fromkeys(filter(None, map(self._about_if_named, requests)))
        refused: dict[str, ChargekeyError] = {}

        async def ask(left: Iterable[str]) -> None:
            for about in left:
                try:
                    await require(METHOD, about)
                except UnavailableError:
                    raise
                except ChargekeyError as error:
                    refused[about] = error

        # Each takes the next one from what they share.
        left = iter(asked)
        askers = min(ASKED_AT_ONCE, len(asked))
        await asyncio.gather(*(ask(left) for _ in range(askers)))
        return refused

    def _about_if_named(self, request: pb.AuthorizeRequest) -> str | None:
        try:
            return self.about(request)
        except ChargerNotNamedError:
            return None

    async def _wait_for(self, at_least: Sequence[str], within: float) -> None:
        if len(at_least) > MOST_POSITIONS:
            raise TooManyPositionsError
        await self._gateway.view.wait_for([Position.parse(text) for text in at_least], within)

    def _charger(self, request: pb.AuthorizeRequest) -> Charger | None:
        if bool(request.charger_id) == bool(request.ocpp_identity):
            raise ChargerNotNamedError
        if request.charger_id:
            return self._gateway.view.charger(request.charger_id)
        return self._gateway.charger_by_identity(request.ocpp_identity)


def _object(request: pb.AuthorizeRequest, charger: Charger | None) -> str:
    # A charger this view has not heard of yet may be one that access knows.
    return f"charger:{request.charger_id or 'unknown' if charger is None else charger.id}"


def _decision(method: str, decision: pb.AuthorizeResponse) -> pb.AuthorizeOutcome:
    _COUNT_ANSWER[method]()
    return pb.AuthorizeOutcome(decision=decision)


def _refusal(method: str, error: ChargekeyError) -> pb.AuthorizeOutcome:
    _QUESTIONS.labels(method, error.code).inc()
    after = error.retry_after if isinstance(error, TooManyAttemptsError) else None
    refusal = pb.Refusal(code=error.code, sentence=str(error), retry_after=after)
    return pb.AuthorizeOutcome(refusal=refusal)
