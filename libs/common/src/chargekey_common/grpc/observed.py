"""Every call that is served: counted, timed, and part of its caller's trace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
from grpc import aio
from opentelemetry.trace import Span, use_span
from prometheus_client import Counter, Histogram

from chargekey_common import tracing

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


@contextlib.asynccontextmanager
async def observed(
    action: str, context: aio.ServicerContext[Any, Any], *, stream: bool = False
) -> AsyncIterator[None]:
    """Count, time and trace the block, which answers a call; a stream is not timed."""
    began = time.perf_counter()
    span = tracing.request(action, _carried(context))
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        gone = False
        try:
            yield
        except asyncio.CancelledError:
            gone = True
            raise
        finally:
            code = "CANCELLED" if gone else _code(context)
            _REQUESTS.labels(action, code).inc()
            if not stream:
                _DURATION.labels(action).observe(time.perf_counter() - began)
            _tell(span, code)


def _code(context: aio.ServicerContext[Any, Any]) -> str:
    # None where nothing else was said, whatever it is typed as.
    told = cast("grpc.StatusCode | None", context.code())
    return grpc.StatusCode.OK.name if told is None else told.name


def _carried(context: aio.ServicerContext[Any, Any]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == tracing.HEADER and isinstance(value, str):
            return value
    return ""


def _tell(span: Span, code: str) -> None:
    span.set_attribute("rpc.system", "grpc")
    span.set_attribute("rpc.response.status_code", code)
    if code in _OURS:
        tracing.failed(span, code)
