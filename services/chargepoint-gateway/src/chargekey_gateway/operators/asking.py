"""Asking the operator of a site: within a deadline, not too many at once, or its last word.

Whatever an operator does, slow, dead or lying, costs its own chargers' answers alone: each
has a number of questions that may be on their way at once and a breaker of its own, and
nothing else waits for any of them.
"""

from __future__ import annotations

import asyncio
import enum
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx2
import msgspec
import structlog

from chargekey_common.outgoing import Request, Said, UnsafeAddressError
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.decision import APP
from chargekey_gateway.inputs import Presented
from chargekey_gateway.metrics import OPERATOR_ANSWERS
from chargekey_gateway.operators import breaker as breakers
from chargekey_gateway.operators import ocpi, webhook
from chargekey_gateway.operators.breaker import CLOSED, Breaker
from chargekey_gateway.operators.last_known import AnswerKeys, LastKnown, Whitelisted
from chargekey_gateway.operators.question import Endpoint, MalformedAnswerError, Question, Stage
from chargekey_gateway.view.entries import Charger

DEADLINE = 2.0  # seconds for an answer
AT_ONCE = 100  # questions of one operator
# Of those from one charger: as many as its connection has calls under way. One that drops its
# connection and comes again leaves a start behind each time.
AT_ONCE_FROM_CHARGER = 16
_SECOND = 10**9
# What an operator allowed a moment ago it is not asked again when the charge begins: there
# is a cable to be plugged in between.
JUST_NOW = 120 * _SECOND
REMEMBERED = 10_000
# What an operator has a charger start with it is not asked about when that comes back: as long
# as a start from the portal counts.
SENT_FOR = 180 * _SECOND
# A start that is reported later than this happened without a connection.
OFFLINE = 60 * _SECOND

# Statuses. From the first on it is the operator that has failed; with the other it asks for
# patience.
SERVER_ERROR = 500
TOO_MANY_REQUESTS = 429

UNREACHABLE = OperatorAnswer(status="UNREACHABLE")

log = structlog.get_logger()


class Sender(Protocol):
    """Whatever sends requests."""

    async def send(self, request: Request, *, asker: str) -> Said:
        """Return what comes back; raises what `Outgoing.send` does."""


class _Why(enum.StrEnum):
    """Why there is no answer, as it is counted."""

    NO_OPERATOR = "no_operator"
    NO_ENDPOINT = "no_endpoint"
    BUSY = "busy"
    BREAKER_OPEN = "breaker_open"
    TIMEOUT = "timeout"
    HTTP = "http"
    SERVER_ERROR = "server_error"
    PUT_OFF = "put_off"
    MALFORMED = "malformed"
    UNSAFE_ADDRESS = "unsafe_address"


class _NoAnswerError(Exception):
    def __init__(self, why: _Why) -> None:
        super().__init__(why)
        self.why = why


class _Operator:
    """How one operator is doing."""

    __slots__ = ("breaker", "endpoint", "erred_at", "on_the_way")

    def __init__(self) -> None:
        self.endpoint: Endpoint | None = None
        self.breaker: Breaker = CLOSED
        self.on_the_way: Counter[str] = Counter()  # by charger
        # The charger of the last question, where that was answered with an error of its own.
        self.erred_at: str | None = None


class AskingOperators:
    """Asks; belongs to one event loop."""

    def __init__(
        self,
        *,
        endpoint: Callable[[str], Awaitable[Endpoint | None]],
        sender: Sender,
        keys: AnswerKeys,
        last_known: LastKnown,
        clock: Callable[[], int],
        deadline: float = DEADLINE,
        at_once: int = AT_ONCE,
    ) -> None:
        """Ask where `endpoint` says, by `sender`; `clock` tells nanoseconds since the epoch."""
        self._endpoint = endpoint
        self._sender = sender
        self._keys = keys
        self._last_known = last_known
        self._clock = clock
        self._deadline = deadline
        self._at_once = at_once
        self._operators: dict[str, _Operator] = {}
        # What was allowed at a charger and has not begun there, in the order it was.
        self._allowed: OrderedDict[tuple[str, str], tuple[int, OperatorAnswer]] = OrderedDict()
        # What it had a charger start with, and has not begun there.
        self._had_started: OrderedDict[tuple[str, str], tuple[int, OperatorAnswer]] = OrderedDict()

    async def ask(
        self,
        charger: Charger,
        presented: Presented,
        *,
        at: int,
        stage: Stage = "authorize",
        connector: int | None = None,
    ) -> OperatorAnswer:
        """Return what the operator says of who presents something there; never raises.

        `at` is when it was presented, in nanoseconds since the epoch. What happened without
        a connection is judged by what was known then, where the site's policy is
        LAST_KNOWN and anything was; else by what the operator says now. What is allowed without
        a name of the operator's for it has the one that its token is known by, if it is.
        """
        partner_id = charger.installation.managed_by
        if partner_id is None:
            # The view is told one after the other who decides, and who that is.
            OPERATOR_ANSWERS.labels(_Why.NO_OPERATOR).inc()
            return UNREACHABLE
        key = self._keys.of(partner_id, charger.installation.id, presented.token)
        told = self._last_known.told_of(self._keys.of_all_sites(partner_id, presented.token))
        known = self._known_already(charger, key, at, stage, told)
        if known is not None:
            return _named(known, told)
        app = presented.identification if presented.type == APP else None
        question = Question(
            charger_id=charger.id,
            installation_id=charger.installation.id,
            code=presented.token if app is None else app.id,
            user_id=None if app is None else app.user.id,
            type=presented.type,
            at=at,
            stage=stage,
            connector=connector,
        )
        try:
            answer = await self._answer(partner_id, question)
        except _NoAnswerError as error:
            OPERATOR_ANSWERS.labels(error.why).inc()
            log.warning("operator_unreachable", partner=partner_id, why=error.why)
            return _named(self._instead(charger, key, at, told), told)
        answer = _named(answer, told)
        OPERATOR_ANSWERS.labels(answer.status.lower()).inc()
        now = self._clock()
        if charger.installation.on_operator_timeout == "LAST_KNOWN":
            self._last_known.remember(key, answer, now)
        if stage == "authorize":
            self._remember(charger, key, answer, now)
        return answer

    def allow(
        self, charger: Charger, token: str, answer: OperatorAnswer, *, partner_id: str, at: int
    ) -> None:
        """Hear what the operator says of a token that it has the charger start with.

        It counts while that operator manages the site: its key is of both. `at` in nanoseconds
        since the epoch.
        """
        key = self._keys.of(partner_id, charger.installation.id, token)
        _put(self._had_started, (charger.id, key), at, answer)

    def remember_tokens(
        self, partner_id: str, tokens: Iterable[tuple[str, Whitelisted | None]]
    ) -> None:
        """Remember what the operator says of tokens wherever they are presented; never raises.

        None forgets what it said.
        """
        now = self._clock()
        for token, said in tokens:
            self._last_known.tell(self._keys.of_all_sites(partner_id, token), said, now)

    def _known_already(
        self, charger: Charger, key: str, at: int, stage: Stage, told: Whitelisted | None
    ) -> OperatorAnswer | None:
        """Return what needs no question.

        That it has sent the charger this itself; that it wants never to be asked; allowed just
        now, or known when it began offline.
        """
        now = self._clock()
        take = self._had_started.pop if stage == "start" else self._had_started.get
        sent = take((charger.id, key), None)
        if sent is not None and sent[0] + SENT_FOR > now:
            return sent[1]
        if told is not None and told.always:
            OPERATOR_ANSWERS.labels("whitelisted").inc()
            return msgspec.structs.replace(told.answer, last_known=True)
        if stage != "start":
            return None
        just_now = self._allowed.pop((charger.id, key), None)
        if just_now is not None and just_now[0] + JUST_NOW > now:
            return just_now[1]
        if at + OFFLINE < now and charger.installation.on_operator_timeout == "LAST_KNOWN":
            known = self._last_known.of(key, at)
            never = told is not None and told.answer.status == "UNREACHABLE"
            if known is not None and known.at <= at and not never:
                OPERATOR_ANSWERS.labels("last_known").inc()
                return msgspec.structs.replace(known.answer, last_known=True)
        return None

    def _instead(
        self, charger: Charger, key: str, at: int, told: Whitelisted | None
    ) -> OperatorAnswer:
        """Return its last word, whether it was asked for that or said it by itself."""
        if charger.installation.on_operator_timeout != "LAST_KNOWN":
            return UNREACHABLE
        known = self._last_known.of(key, at)
        answer = None if known is None else known.answer
        if told is not None and (
            known is None or told.answer.status == "UNREACHABLE" or told.last_updated >= known.at
        ):
            answer = told.answer
        if answer is None or answer.status == "UNREACHABLE":
            return UNREACHABLE
        OPERATOR_ANSWERS.labels("last_known").inc()
        return msgspec.structs.replace(answer, last_known=True)

    def _remember(self, charger: Charger, key: str, answer: OperatorAnswer, now: int) -> None:
        self._allowed.pop((charger.id, key), None)
        if answer.status == "ALLOWED":
            _put(self._allowed, (charger.id, key), now, answer)

    async def _answer(self, partner_id: str, question: Question) -> OperatorAnswer:
        """Ask within the deadline; raises _NoAnswerError."""
        operator = self._operators.setdefault(partner_id, _Operator())
        on_the_way, asks = operator.on_the_way, question.charger_id
        if on_the_way.total() >= self._at_once or on_the_way[asks] >= AT_ONCE_FROM_CHARGER:
            raise _NoAnswerError(_Why.BUSY)
        until = asyncio.get_running_loop().time() + self._deadline
        on_the_way[asks] += 1
        try:
            async with asyncio.timeout_at(until):
                endpoint = await self._endpoint(partner_id)
            if endpoint is None:
                raise _NoAnswerError(_Why.NO_ENDPOINT)
            if endpoint != operator.endpoint:
                # Another one, or the same with another secret: it has not failed yet.
                operator.endpoint, operator.breaker = endpoint, CLOSED
            return await self._asked(partner_id, endpoint, question, until)
        except TimeoutError:
            raise _NoAnswerError(_Why.TIMEOUT) from None
        finally:
            on_the_way -= Counter((asks,))

    async def _asked(
        self, partner_id: str, endpoint: Endpoint, question: Question, until: float
    ) -> OperatorAnswer:
        """Ask unless the breaker is open, and tell it what came of it."""
        operator = self._operators[partner_id]
        post = self._composed(endpoint, question)
        if isinstance(post, OperatorAnswer):  # nobody has to be asked
            return post
        before = operator.breaker
        asked = breakers.asking(before, self._clock())
        if asked is None:
            raise _NoAnswerError(_Why.BREAKER_OPEN)
        operator.breaker = asked
        probe = asked is not before

        def tell(outcome: Callable[[Breaker], Breaker]) -> None:
            if operator.endpoint == endpoint:  # and not what was set in its place meanwhile
                operator.breaker = outcome(operator.breaker)

        try:
            async with asyncio.timeout_at(until):
                said = await self._sent(partner_id, post)
        except (TimeoutError, _NoAnswerError) as error:
            erred = isinstance(error, _NoAnswerError) and error.why is _Why.SERVER_ERROR
            if erred and operator.erred_at == question.charger_id:
                # Again the same charger's: it may be what is presented there.
                tell(lambda breaker: breakers.abandoned(breaker, probe=probe))
            else:
                tell(lambda breaker: breakers.failed(breaker, self._clock(), probe=probe))
            operator.erred_at = question.charger_id if erred else None
            raise
        except BaseException:
            # Whoever asked has gone; a probe must not be outstanding for ever.
            tell(lambda breaker: breakers.abandoned(breaker, probe=probe))
            raise
        operator.erred_at = None
        if said.status == TOO_MANY_REQUESTS:
            now = self._clock()
            pause = retry_after(said, now)
            tell(lambda breaker: breakers.put_off(breaker, now, pause, probe=probe))
            raise _NoAnswerError(_Why.PUT_OFF)
        tell(breakers.succeeded)
        try:
            return _read(endpoint, said, question)
        except MalformedAnswerError:
            raise _NoAnswerError(_Why.MALFORMED) from None

    def _composed(self, endpoint: Endpoint, question: Question) -> Request | OperatorAnswer:
        if endpoint.kind == "WEBHOOK":
            return webhook.compose(endpoint, question, now=self._clock())
        return ocpi.compose(endpoint, question)

    async def _sent(self, partner_id: str, post: Request) -> Said:
        """Return what comes back from an operator that is there; raises _NoAnswerError."""
        try:
            said = await self._sender.send(post, asker=partner_id)
        except UnsafeAddressError:
            raise _NoAnswerError(_Why.UNSAFE_ADDRESS) from None
        except (httpx2.HTTPError, httpx2.InvalidURL):
            # By its kind alone: what it says may have the address, and so the token, in it.
            raise _NoAnswerError(_Why.HTTP) from None
        if said.status >= SERVER_ERROR:
            raise _NoAnswerError(_Why.SERVER_ERROR)
        return said


def _named(answer: OperatorAnswer, told: Whitelisted | None) -> OperatorAnswer:
    """Return the answer with a name for what it allows, where there is any."""
    if answer.status != "ALLOWED" or answer.reference is not None or told is None:
        return answer
    return msgspec.structs.replace(answer, reference=told.answer.reference)


def _put(
    where: OrderedDict[tuple[str, str], tuple[int, OperatorAnswer]],
    key: tuple[str, str],
    at: int,
    answer: OperatorAnswer,
) -> None:
    """Put it at the end, and let go of the oldest of too many."""
    where.pop(key, None)
    where[key] = at, answer
    if len(where) > REMEMBERED:
        where.popitem(last=False)


def _read(endpoint: Endpoint, said: Said, question: Question) -> OperatorAnswer:
    """Return what it says; raises MalformedAnswerError where that is nothing."""
    if endpoint.kind == "WEBHOOK":
        return webhook.read(said.status, said.body)
    return ocpi.read(said.status, said.body, question)


def retry_after(said: Said, now: int) -> int:
    """Return for how long it asks to be left alone, in nanoseconds; 0 where it does not say."""
    text = (said.retry_after or "").strip()
    if text.isascii() and text.isdigit():  # RFC 9110 §10.2.3: seconds, or a date
        return int(text[:9]) * _SECOND  # of more digits: years as well
    try:
        return round(parsedate_to_datetime(text).timestamp()) * _SECOND - now
    except (ValueError, OverflowError):
        return 0
