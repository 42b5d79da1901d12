"""How long who presents something waits for an answer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from chargekey_gateway.metrics import DECIDED_BY_OPERATOR_IN, DECIDED_HERE_IN
from chargekey_gateway.ocpp.dialect import Later, Peer

Request = TypeVar("Request", bound=msgspec.Struct)
Response = TypeVar("Response", bound=msgspec.Struct)


def timed(
    answer: Callable[[Peer, Request], Response | Later[Response]],
) -> Callable[[Peer, Request], Response | Later[Response]]:
    """Return the handler of an Authorize whose answers are timed."""

    def answer_timed(peer: Peer, request: Request) -> Response | Later[Response]:
        began = perf_counter()
        response = answer(peer, request)
        if isinstance(response, Struct):
            DECIDED_HERE_IN(perf_counter() - began)
            return response
        return _Timed(response, began)

    return answer_timed


class _Timed(Generic[Response]):
    """No coroutine: closed before it is begun, that would leave the one inside behind."""

    def __init__(self, response: Later[Response], began: float) -> None:
        self._response = response
        self._began = began

    def __await__(self) -> Generator[Any, Any, Response]:
        answered = yield from self._response.__await__()
        DECIDED_BY_OPERATOR_IN(perf_counter() - self._began)
        return answered

    def close(self) -> None:
        self._response.close()
