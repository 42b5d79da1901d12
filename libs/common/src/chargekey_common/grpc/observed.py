"""Every call that is served: counted, timed, and part of its caller's trace."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, cast

import grpc
from grpc import aio
from opentelemetry.trace import Span, use_span
from prometheus_client import Counter, Histogram

from chargekey_common import tracing

# Seconds by which what a caller does may be here sooner than the end of his deadline.
AT_THE_DEADLINE = 0.1

Metadata = tuple[tuple[str, "str | bytes"], ...]

_REQUESTS = Counter(
    "grpc_requests_total", "Calls answered, by what came of them.", ["method", "code"]
)
_DURATION = Histogram(
    "grpc_request_duration_seconds",
    "How long calls with one answer took.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
# Nothing that a caller could have done otherwise.
_OURS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class Watch:
    """What is told of the calls of one method; of a `stream` not how long it took."""

    def __init__(self, action: str, *, stream: bool = False) -> None:
        self.action = action
        self._stream = stream
        # Looked up once: each costs a fourth of a decision. Not before there is something to tell.
        self._counts: dict[str, Counter] = {}
        self._duration: Histogram | None = None

    def told(self, code: str, took: float) -> None:
        """Count a call that ended with `code` after so many seconds."""
        count = self._counts.get(code)
        if count is None:
            count = self._counts[code] = _REQUESTS.labels(self.action, code)
        count.inc()
        if self._stream:
            return
        if self._duration is None:
            self._duration = _DURATION.labels(self.action)
        self._duration.observe(took)


class Observed:
    """The block answers a call of the method, whose `metadata` these are."""

    __slots__ = ("_began", "_context", "_metadata", "_span", "_watch", "_within")

    def __init__(
        self, watch: Watch, context: aio.ServicerContext[Any, Any], metadata: Metadata
    ) -> None:
        self._watch = watch
        self._context = context
        self._metadata = metadata
        self._span: Span | None = None
        self._within: AbstractContextManager[Span]

    def __enter__(self) -> None:
        """Begin."""
        self._began = time.perf_counter()
        if tracing.on():
            self._span = tracing.request(self._watch.action, _carried(self._metadata))
            self._within = use_span(
                self._span,
                end_on_exit=True,
                record_exception=False,
                set_status_on_exception=False,
            )
            self._within.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell what came of it."""
        gone = kind is asyncio.CancelledError
        code = _left(self._context) if gone else _code(self._context)
        self._watch.told(code, time.perf_counter() - self._began)
        if self._span is not None:
            _tell(self._span, code)
            self._within.__exit__(kind, error, trace)


def _left(context: aio.ServicerContext[Any, Any]) -> str:
    """Tell whether the caller has left because his deadline has passed, which he sees first."""
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    passed = remaining is not None and remaining < AT_THE_DEADLINE
    return "DEADLINE_EXCEEDED" if passed else "CANCELLED"


def _code(context: aio.ServicerContext[Any, Any]) -> str:
    # None where nothing else was said, whatever it is typed as.
    told = cast("grpc.StatusCode | None", context.code())
    return "OK" if told is None else told.name


def _carried(metadata: Metadata) -> str:
    for key, value in metadata:
        if key == tracing.HEADER and isinstance(value, str):
            return value
    return ""


def _tell(span: Span, code: str) -> None:
    span.set_attribute("rpc.system", "grpc")
    span.set_attribute("rpc.response.status_code", code)
    if code in _OURS:
        tracing.failed(span, code)
