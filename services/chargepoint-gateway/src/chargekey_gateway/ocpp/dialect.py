"""What an OCPP version brings to a connection: its routes, its spelling, its commands.

Handlers see the charger at the other end as a `Peer`, and know no connection.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.commands import Command, Result
from chargekey_gateway.decision import Decision
from chargekey_gateway.ocpp.frames import Fault
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.view.entries import Charger

Request = TypeVar("Request", bound=msgspec.Struct)
Response = TypeVar("Response", bound=msgspec.Struct)
Answer = TypeVar("Answer")
Answered_co = TypeVar("Answered_co", covariant=True)
# A message of a class, or the payload of an action that no class describes.
Payload = msgspec.Struct | Mapping[str, Any]


class Peer(Protocol):
    """The charger at the other end, as the handlers of an OCPP version see it."""

    charger: Charger
    gateway: Gateway
    limits: Limits

    def now(self) -> int:
        """Return the server's time: the charger's own clock decides nothing."""

    def call(
        self, request: Payload, response: type[Answer], *, action: str = ""
    ) -> asyncio.Future[Answer | Result]:
        """Queue `request` behind the calls before it; a Result where there is no answer."""


class Later(Protocol[Answered_co]):
    """An answer that somebody else is asked for once it is awaited; close it, and nobody is."""

    def __await__(self) -> Generator[Any, Any, Answered_co]:
        """Ask."""

    def close(self) -> None:
        """Leave nothing behind of what nobody awaits."""


class AtOnce(Generic[Request, Response]):
    """An action answered from memory, in the loop iteration it arrives in.

    Where somebody else has to be asked first, the answer is given Later: whatever comes
    meanwhile overtakes.

    `then` runs once the answer is on its way: the place for calls that follow it.
    """

    def __init__(
        self,
        request: type[Request],
        response: type[Response],
        answer: Callable[[Peer, Request], Response | Later[Response]],
        then: Callable[[Peer, Request, Response], None] | None = None,
    ) -> None:
        """Decode into `request`, answer with a `response`."""
        self.response = response
        self.answer = answer
        self.then = then
        self.decoder = msgspec.json.Decoder(request)
        self.decode = self.decoder.decode


class InOrder(Generic[Request, Response]):
    """An action whose answer has to be awaited: one after the other a connection.

    Actions answered at once may overtake these. `then` as with AtOnce.
    """

    def __init__(
        self,
        request: type[Request],
        response: type[Response],
        answer: Callable[[Peer, Request], Awaitable[Response]],
        then: Callable[[Peer, Request, Response], None] | None = None,
    ) -> None:
        """Decode into `request`, answer with a `response`."""
        self.response = response
        self.answer = answer
        self.then = then
        self.decoder = msgspec.json.Decoder(request)
        self.decode = self.decoder.decode


# Any: a table holds routes of every pair of types, each checked where it is built.
Route = AtOnce[Any, Any] | InOrder[Any, Any]


def once_decided(
    decision: Decision | Awaitable[Decision], answer: Callable[[Decision], Response]
) -> Response | Later[Response]:
    """Answer what `Deciding.authorize` decided: at once or, where it asks an operator, later."""
    return answer(decision) if isinstance(decision, Decision) else _later(decision, answer)


async def _later(decision: Awaitable[Decision], answer: Callable[[Decision], Response]) -> Response:
    return answer(await decision)


Carry = Callable[[Peer, Any], Awaitable[Result]]


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """One OCPP version.

    `not_offered` are actions the version knows but a charger may not call here;
    `fault_codes` are all its codes of a CALLERROR; `commands` says who carries out which
    command. A version that `answers_unreadable` answers a call whose id nobody can read under
    the id "-1" (OCPP-J 2.x §4.2.3); one that `has_unanswered` knows CALLRESULTERROR and SEND
    (OCPP-J 2.1 §4.2.4, §4.2.5).
    """

    version: str
    routes: Mapping[str, Route]
    not_offered: frozenset[str]
    fault_codes: Mapping[Fault, str]
    commands: Mapping[type[Command], Carry]
    answers_unreadable: bool = False
    has_unanswered: bool = False
