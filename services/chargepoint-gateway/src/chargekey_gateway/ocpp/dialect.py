"""What an OCPP version brings to a connection: its routes, its spelling, its commands."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from chargekey_gateway.ocpp.frames import Fault

if TYPE_CHECKING:
    from chargekey_gateway.ocpp.connection import ChargerConnection

Request = TypeVar("Request", bound=msgspec.Struct)
Response = TypeVar("Response", bound=msgspec.Struct)


class AtOnce(Generic[Request, Response]):
    """An action answered from memory, in the loop iteration it arrives in.

    `then` runs once the answer is on its way: the place for calls that follow it.
    """

    def __init__(
        self,
        request: type[Request],
        response: type[Response],
        answer: Callable[[ChargerConnection, Request], Response],
        then: Callable[[ChargerConnection, Request, Response], None] | None = None,
    ) -> None:
        """Decode into `request`, answer with a `response`."""
        self.response = response
        self.answer = answer
        self.then = then
        self.decoder = msgspec.json.Decoder(request)


class InOrder(Generic[Request, Response]):
    """An action whose answer has to be awaited: one after the other a connection.

    Actions answered at once may overtake these. `then` as with AtOnce.
    """

    def __init__(
        self,
        request: type[Request],
        response: type[Response],
        answer: Callable[[ChargerConnection, Request], Awaitable[Response]],
        then: Callable[[ChargerConnection, Request, Response], None] | None = None,
    ) -> None:
        """Decode into `request`, answer with a `response`."""
        self.response = response
        self.answer = answer
        self.then = then
        self.decoder = msgspec.json.Decoder(request)


# Any: a table holds routes of every pair of types, each checked where it is built.
Route = AtOnce[Any, Any] | InOrder[Any, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """One OCPP version.

    `not_offered` are actions the version knows but a charger may not call here;
    `remote_stop` asks the charger to end a transaction and tells whether it accepted.
    """

    version: str
    routes: Mapping[str, Route]
    not_offered: frozenset[str]
    fault_codes: Mapping[Fault, str]
    remote_stop: Callable[[ChargerConnection, int], Awaitable[bool]]
