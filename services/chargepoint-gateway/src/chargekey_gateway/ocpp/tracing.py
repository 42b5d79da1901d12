"""Each call of a charger begins a trace, where anybody is told of traces.

Nothing of this is in the way of a call where nobody is.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import msgspec
from opentelemetry.trace import Span

from chargekey_common import tracing
from chargekey_gateway.ocpp.dialect import AtOnce, Dialect, Later, Peer, Route

Answered = msgspec.Struct | Later[msgspec.Struct]


def traced(dialect: Dialect) -> Dialect:
    """Return the dialect with its calls traced, from when they are read to their answers."""
    routes = {action: _traced(action, route) for action, route in dialect.routes.items()}
    return dataclasses.replace(dialect, routes=routes)


def _traced(action: str, route: Route) -> Route:
    own = copy.copy(route)
    if isinstance(own, AtOnce):
        own.answer = _at_once(action, own.answer)
    else:
        own.answer = _in_order(action, own.answer)
    return own


def _at_once(
    action: str, answer: Callable[[Peer, Any], Answered]
) -> Callable[[Peer, Any], Answered]:
    def answer_traced(peer: Peer, request: msgspec.Struct) -> Answered:
        span = _begun(action, peer)
        with tracing.within(span):
            response = answer(peer, request)
        if not isinstance(response, msgspec.Struct):
            return _Traced(response, span)
        span.end()
        return response

    return answer_traced


def _in_order(
    action: str, answer: Callable[[Peer, Any], Awaitable[msgspec.Struct]]
) -> Callable[[Peer, Any], Coroutine[Any, Any, msgspec.Struct]]:
    async def answer_traced(peer: Peer, request: msgspec.Struct) -> msgspec.Struct:
        span = _begun(action, peer)
        with tracing.within(span):
            response = await answer(peer, request)
        span.end()
        return response

    return answer_traced


class _Traced:
    """As `timing` does it, and for its reason."""

    def __init__(self, response: Later[msgspec.Struct], span: Span) -> None:
        self._response = response
        self._span = span

    def __await__(self) -> Generator[Any, Any, msgspec.Struct]:
        with tracing.within(self._span):
            answered = yield from self._response.__await__()
        self._span.end()
        return answered

    def close(self) -> None:
        self._response.close()
        self._span.end()


def _begun(action: str, peer: Peer) -> Span:
    return tracing.request(f"ocpp {action}", attributes={"chargekey.charger": peer.charger.id})
