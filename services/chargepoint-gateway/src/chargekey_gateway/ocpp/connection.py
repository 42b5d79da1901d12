"""One charger's connection: messages in, answers and calls out, no socket.

- Calls of the charger are answered at once or, where they have to be awaited, one
  after the other by one task that lives only while there is work. What is answered at
  once may overtake.
- Calls of ours wait for each other: one is outstanding, the rest queue behind it
  (OCPP-J §4.1.1). Crossing calls are fine, since no handler runs inside `receive`
  while it waits for one.
- A call with the id of one still being handled is ignored: its answer, under that very
  id, is on the way. An id used again later is a new call.
- In 1.6 a charger may call before its BootNotification was accepted and gets its
  answers: one that only lost its connection does not boot again.

All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import re
import traceback
import uuid
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, assert_never

import msgspec
import structlog

from chargekey_common.errors import InvalidArgumentError, UnavailableError
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.commands import Command, Outcome, RemoteStart, Result
from chargekey_gateway.metrics import count_call
from chargekey_gateway.ocpp import frames
from chargekey_gateway.ocpp.dialect import AtOnce, Dialect, InOrder, Later, Payload, Route
from chargekey_gateway.ocpp.frames import Call, CloseCode, Fault, encode_result
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.view.entries import Charger

log = structlog.get_logger()

Answer = TypeVar("Answer")

_DESCRIPTIONS = {
    Fault.FRAME: "This is no message of OCPP-J.",
    Fault.FORMAT: "The message does not have the form of its action.",
    Fault.OCCURRENCE: "A required field is missing, or a list is too short.",
    Fault.TYPE: "A field has the wrong type.",
    Fault.PROPERTY: "A field has a value that is not allowed.",
    Fault.ACTION_UNKNOWN: "There is no such action.",
    Fault.ACTION_NOT_OFFERED: "This action is not for chargers to call.",
    Fault.INTERNAL: "This cannot be answered now; send it again later.",
}
# OCPP-J 2.0.1 §4.2.3: the id of a call whose own nobody can read.
_NO_ID = "-1"
_TOO_SHORT = re.compile(r"Expected `array` of length >=")
_WRONG_TYPE = re.compile(r"Expected `[^`]+`, got `")


class Wire(Protocol):
    """What a connection needs of a socket."""

    def send(self, message: bytes) -> None:
        """Send one text message."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Start the closing handshake; nothing is received any more."""


class _Outgoing(Generic[Answer]):
    """A call of ours, outstanding or queued."""

    __slots__ = ("action", "answer", "decoder", "id", "message")

    def __init__(self, action: str, request: Payload, response: type[Answer]) -> None:
        self.id = str(uuid.uuid4())
        self.action = action
        self.message = frames.encode_call(self.id, self.action, request)
        self.decoder = msgspec.json.Decoder(response)
        self.answer: asyncio.Future[Answer | Result] = asyncio.get_running_loop().create_future()

    def resolve(self, answer: Answer | Result) -> None:
        """Hand over the answer, unless whoever asked has gone."""
        if not self.answer.done():
            self.answer.set_result(answer)


class ChargerConnection:
    """A connected, authenticated charger. `connected_at` in nanoseconds since the epoch."""

    __slots__ = (
        "_clock",
        "_dialect",
        "_later",
        "_lost",
        "_outgoing",
        "_pending",
        "_timer",
        "_unanswered",
        "_waiting",
        "_wire",
        "_worker",
        "charger",
        "connected_at",
        "gateway",
        "heard",
        "limits",
    )

    def __init__(
        self,
        charger: Charger,
        *,
        gateway: Gateway,
        dialect: Dialect,
        wire: Wire,
        limits: Limits,
        clock: Callable[[], int],
    ) -> None:
        """Speak `dialect` over `wire`; `clock` tells nanoseconds since the epoch."""
        self.charger = charger
        self.gateway = gateway
        self.limits = limits
        self.connected_at = clock()
        self.heard = False  # whether a valid call has come
        self._dialect = dialect
        self._wire = wire
        self._clock = clock
        self._lost = False
        # Lists, short as they are: an empty deque weighs ten times as much, on every connection.
        self._outgoing: list[_Outgoing[Any]] = []  # the first one is outstanding
        self._timer: asyncio.TimerHandle | None = None
        self._unanswered = 0
        self._waiting: list[tuple[str, InOrder[Any, Any], msgspec.Struct]] = []
        self._pending: list[str] = []  # the ids of those waiting and of the one being handled
        self._worker: asyncio.Task[None] | None = None
        self._later: list[asyncio.Task[None]] = []  # those whose answer asks somebody else

    @property
    def version(self) -> str:
        """The OCPP version spoken here: "1.6"."""
        return self._dialect.version

    def now(self) -> int:
        """Return the server's time: the charger's own clock decides nothing."""
        return self._clock()

    async def carry_out(self, command: Command) -> Result:
        """Have the charger do something; what this version knows no way to do is NOT_SUPPORTED."""
        carry = self._dialect.commands.get(type(command))
        if carry is None:
            return Result(outcome=Outcome.NOT_SUPPORTED)
        if isinstance(command, RemoteStart) and command.identification_id is not None:
            # Before the charger can present it: what other replicas wrote is on its way.
            self.gateway.remote_starts.hear(
                self.charger.id, command.identification_id, command.asked_at
            )
        if isinstance(command, RemoteStart) and command.allowed_by is not None:
            self.gateway.deciding.allowed_from_afar(self.charger, command)
        return await carry(self, command)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the WebSocket; `lost` follows."""
        self._wire.close(code, reason)

    # Messages of the charger.

    def receive(self, message: bytes) -> None:
        """Take one whole text message, whatever it is; never raises."""
        if self._lost:
            return
        incoming = frames.decode(message)
        if isinstance(incoming, Call):  # no case of the others': to match costs every tap
            self._handle(incoming)
        else:
            self._take(incoming)

    def _take(self, incoming: frames.NotACall) -> None:
        match incoming:
            case frames.CallResult() | frames.CallError() as answer:
                self._answered(answer)
            case frames.CallResultError() | frames.Send() as unanswered:
                self._take_note(unanswered)
            case frames.Refused(id=None) if not self._dialect.answers_unreadable:
                self._ignore("unreadable")
            case frames.Refused() as refused:
                self._refuse(refused.id or _NO_ID, refused.fault)
            case frames.Ignored() as ignored:
                self._ignore(ignored.why)
            case frames.Fatal() as fatal:
                log.warning("ocpp_message_fatal", charger=self.charger.id, why=fatal.reason)
                self.close(fatal.code, fatal.reason)
            case never:
                assert_never(never)

    def _take_note(self, message: frames.CallResultError | frames.Send) -> None:
        """Take note of what is never answered, where the version has such messages."""
        if not self._dialect.has_unanswered:
            self._ignore("unknown_message_type")
        elif isinstance(message, frames.Send):
            self._ignore("not_subscribed")  # no stream of events is ever opened from here
        else:
            # What it could not read is done, and would be no other a second time.
            log.warning("ocpp_result_refused", charger=self.charger.id)

    def _ignore(self, why: str) -> None:
        log.info("ocpp_message_ignored", charger=self.charger.id, why=why)

    def _handle(self, call: frames.Call) -> None:
        route = self._dialect.routes.get(call.action)
        if route is None:
            count_call("unknown", "refused")()  # not by its name: anything may be one
            known = call.action in self._dialect.not_offered
            self._refuse(call.id, Fault.ACTION_NOT_OFFERED if known else Fault.ACTION_UNKNOWN)
            return
        if call.id in self._pending:
            self._ignore("duplicate_id")
            return
        try:
            request = route.decode(call.payload)
        except msgspec.DecodeError as error:
            count_call(call.action, "refused")()
            self._refuse(call.id, _fault(error))
            return
        count_call(call.action, "taken")()
        self.heard = True
        if isinstance(route, AtOnce):
            self._answer_at_once(call.id, route, request)
        else:
            self._answer_in_order(call.id, route, request)

    def _answer_at_once(
        self, message_id: str, route: AtOnce[Any, Any], request: msgspec.Struct
    ) -> None:
        try:
            response = route.answer(self, request)
        except Exception as error:  # noqa: BLE001 - one bad call must not end the connection
            self._failed(message_id, request, error)
            return
        if isinstance(response, msgspec.Struct):
            self._conclude(message_id, route, request, response)
        else:
            self._answer_later(message_id, route, request, response)

    def _answer_later(
        self,
        message_id: str,
        route: AtOnce[Any, Any],
        request: msgspec.Struct,
        response: Later[msgspec.Struct],
    ) -> None:
        if len(self._pending) >= self.limits.pending_calls:
            response.close()
            log.warning("ocpp_calls_piled_up", charger=self.charger.id)
            self._refuse(message_id, Fault.INTERNAL)
            return
        self._pending.append(message_id)
        task = asyncio.get_running_loop().create_task(
            self._finish(message_id, route, request, response)
        )
        self._later.append(task)
        task.add_done_callback(self._later.remove)

    async def _finish(
        self,
        message_id: str,
        route: AtOnce[Any, Any],
        request: msgspec.Struct,
        response: Later[msgspec.Struct],
    ) -> None:
        try:
            answer = await response
        except Exception as error:  # noqa: BLE001 - one bad call must not end the connection
            self._failed(message_id, request, error)
        else:
            self._conclude(message_id, route, request, answer)
        finally:
            self._pending.remove(message_id)

    def _answer_in_order(
        self, message_id: str, route: InOrder[Any, Any], request: msgspec.Struct
    ) -> None:
        if len(self._pending) >= self.limits.pending_calls:
            log.warning("ocpp_calls_piled_up", charger=self.charger.id)
            self._refuse(message_id, Fault.INTERNAL)
            return
        self._pending.append(message_id)
        self._waiting.append((message_id, route, request))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        """Answer what waits, in its order; what `lost` finds waiting the charger sends again."""
        try:
            while self._waiting:
                message_id, route, request = self._waiting.pop(0)
                try:
                    response = await route.answer(self, request)
                except Exception as error:  # noqa: BLE001 - the next call must not suffer
                    self._failed(message_id, request, error)
                else:
                    self._conclude(message_id, route, request, response)
                self._pending.remove(message_id)
        finally:
            self._worker = None

    def _conclude(
        self, message_id: str, route: Route, request: msgspec.Struct, response: msgspec.Struct
    ) -> None:
        if not self._lost:
            self._wire.send(encode_result(message_id, response))
        if route.then is None:
            return
        try:
            route.then(self, request, response)
        except Exception as error:  # noqa: BLE001 - it is answered; only what follows failed
            self._log_failure(request, error)

    def _failed(self, message_id: str, request: msgspec.Struct, error: Exception) -> None:
        count_call(type(request).__name__, "failed")()
        match error:
            case InvalidArgumentError():
                self._refuse(message_id, Fault.PROPERTY)
            case UnavailableError():
                log.warning(
                    "ocpp_call_unavailable",
                    charger=self.charger.id,
                    action=type(request).__name__,
                    code=error.code,
                )
                self._refuse(message_id, Fault.INTERNAL)
            case _:
                self._log_failure(request, error)
                self._refuse(message_id, Fault.INTERNAL)

    def _log_failure(self, request: msgspec.Struct, error: Exception) -> None:
        # Where it happened, without the exception's own words: they may quote the message.
        log.error(
            "ocpp_handler_failed",
            charger=self.charger.id,
            action=type(request).__name__,
            error=type(error).__name__,
            where="".join(traceback.format_tb(error.__traceback__)),
        )

    def _refuse(self, message_id: str, fault: Fault) -> None:
        log.info("ocpp_call_refused", charger=self.charger.id, fault=fault.name)
        self._send(
            frames.encode_error(
                message_id, self._dialect.fault_codes[fault], _DESCRIPTIONS.get(fault, "")
            )
        )

    def _send(self, message: bytes) -> None:
        if not self._lost:
            self._wire.send(message)

    # Calls of ours.

    def call(
        self, request: Payload, response: type[Answer], *, action: str = ""
    ) -> asyncio.Future[Answer | Result]:
        """Queue `request`, an `action` named like its class, behind the calls before it.

        The future needs no waiting for: it never holds an exception. Inside a handler
        do not wait for it; a route's `then` is the place to call from.
        """
        outgoing = _Outgoing(action or type(request).__name__, request, response)
        if self._lost:
            outgoing.resolve(Result(outcome=Outcome.DISCONNECTED))
        elif len(self._outgoing) > self.limits.queued_calls:
            outgoing.resolve(Result(outcome=Outcome.TOO_MANY_QUEUED))
        else:
            self._outgoing.append(outgoing)
            if len(self._outgoing) == 1:
                self._send_first()
        return outgoing.answer

    def _send_first(self) -> None:
        """Make the first queued call, for which somebody still waits, the outstanding one."""
        while self._outgoing and self._outgoing[0].answer.done():
            self._outgoing.pop(0)
        if self._outgoing:
            self._send(self._outgoing[0].message)
            self._timer = asyncio.get_running_loop().call_later(
                self.limits.call_timeout, self._timed_out
            )

    def _answered(self, message: frames.CallResult | frames.CallError) -> None:
        if not self._outgoing or self._outgoing[0].id != message.id:
            self._ignore("answer_to_nothing")
            return
        self._unanswered = 0
        if isinstance(message, frames.CallError):
            known = message.code in self._dialect.fault_codes.values()
            code = message.code if known else self._dialect.fault_codes[Fault.GENERIC]
            self._settle(Result(outcome=Outcome.REFUSED, status=code))
            return
        try:
            answer = self._outgoing[0].decoder.decode(message.payload)
        except msgspec.DecodeError:
            self._settle(Result(outcome=Outcome.MALFORMED))
        else:
            self._settle(answer)

    def _timed_out(self) -> None:
        self._unanswered += 1
        self._settle(Result(outcome=Outcome.TIMED_OUT))
        if self._unanswered >= self.limits.unanswered_calls:
            self.close(CloseCode.POLICY_VIOLATION, "calls are not answered")

    def _settle(self, answer: object) -> None:
        """End the outstanding call and send the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        outgoing = self._outgoing.pop(0)
        if isinstance(answer, Result):
            log.info(
                "ocpp_call_not_answered",
                charger=self.charger.id,
                action=outgoing.action,
                why=answer.outcome.value,
            )
        outgoing.resolve(answer)
        self._send_first()

    # The end.

    def lost(self) -> asyncio.Task[None] | None:
        """Take note that the socket is gone; idempotent.

        Returns the task of the call being handled, which is let finish: what it writes
        is then there when the charger asks again.
        """
        self._lost = True
        self._waiting.clear()
        for task in tuple(self._later):
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._outgoing:
            self._outgoing.pop(0).resolve(Result(outcome=Outcome.DISCONNECTED))
        return self._worker


def _fault(error: msgspec.DecodeError) -> Fault:
    """Sort what msgspec found into OCPP's kinds; its words are never passed on.

    They may quote the message. A violation without a path is about the whole payload.
    """
    words = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return Fault.FORMAT
    if words.startswith("Object missing required field") or _TOO_SHORT.match(words):
        return Fault.OCCURRENCE
    if _WRONG_TYPE.match(words):
        return Fault.TYPE if " - at `$" in words else Fault.FORMAT
    return Fault.PROPERTY
