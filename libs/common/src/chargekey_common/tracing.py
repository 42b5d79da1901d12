"""Traces: what one request sets off in every service, told to a collector by OpenTelemetry.

Off unless OpenTelemetry's own environment names a collector. A request begins a trace or goes
on with its caller's, and what it records carries that along. Whoever reads it later, once or
many times, within a second or after an outage, begins a trace of his own that is linked to it.

A span never holds what an exception says: that may quote what was sent.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chargekey_common.errors import CannotRunError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

HEADER = "traceparent"

_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"

_propagator = TraceContextTextMapPropagator()
_tracer: Tracer | None = None


class ProtocolUnknownError(CannotRunError):
    """The collector is to be told in a way that is not known here."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"{variable}: traces are told by {_SPOKEN} only; set that, or nothing.")


def wanted() -> bool:
    """Return whether the environment names a collector, and does not switch tracing off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(os.environ.get(name) for name in _COLLECTORS)


def begin(service: str, version: str) -> Callable[[float], None]:
    """Tell a collector from now on; returns what ends that.

    It blocks until the rest is told, and no longer than the seconds that it is given: the
    collector may be away. Raises ProtocolUnknownError.
    """
    global _tracer  # noqa: PLW0603 - a process traces, or does not
    for variable in _PROTOCOLS:
        if os.environ.get(variable, _SPOKEN) != _SPOKEN:
            raise ProtocolUnknownError(variable)
    provider = _provider(service, version)
    _tracer = provider.get_tracer("chargekey", version)

    def end(within: float) -> None:
        global _tracer  # noqa: PLW0603 - as above
        _tracer = None
        telling = threading.Thread(target=provider.shutdown, daemon=True)
        telling.start()
        telling.join(within)

    return end


def _provider(service: str, version: str) -> TracerProvider:
    # Not at the top: nobody waits for these where they are not wanted.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from chargekey_common.trace_sampling import LinkedSampler  # noqa: PLC0415

    resource = Resource.create(
        {
            "service.name": os.environ.get("OTEL_SERVICE_NAME", service),
            "service.namespace": "chargekey",
            "service.version": version,
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.sampler = LinkedSampler(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def on() -> bool:
    """Return whether anybody is told."""
    return _tracer is not None


def current() -> str:
    """Return the traceparent of what is being done, for what it records.

    Empty where nobody is told of it: then nobody could find it either.
    """
    if _tracer is None:
        return ""
    span = get_current_span().get_span_context()
    return _traceparent(span) if span.is_valid and span.trace_flags.sampled else ""


def injected(span: Span) -> Mapping[str, str]:
    """Return the headers that carry `span`, or what is being done, over to another service."""
    if _tracer is None:
        return {}
    about = span.get_span_context()
    if not about.is_valid:
        about = get_current_span().get_span_context()
    return {HEADER: _traceparent(about)} if about.is_valid else {}


def ids() -> Mapping[str, str]:
    """Return `trace_id` and `span_id` of what is being done, for a line of a log."""
    if _tracer is None:
        return {}
    span = get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


def calling(name: str) -> Span:
    """Return the span of a call that is about to be made; whoever makes it ends it."""
    if _tracer is None:
        return INVALID_SPAN
    return _tracer.start_span(name, kind=SpanKind.CLIENT)


def request(name: str, carried: str = "", attributes: Mapping[str, str] | None = None) -> Span:
    """Return the span of a request, of the caller's trace where he `carried` one here.

    Whoever answers it has it be the current one meanwhile, and ends it.
    """
    if _tracer is None:
        return INVALID_SPAN
    context = _propagator.extract({HEADER: carried}, Context())
    return _tracer.start_span(name, context=context, kind=SpanKind.SERVER, attributes=attributes)


@contextlib.contextmanager
def within(span: Span) -> Iterator[None]:
    """Do the block within `span`, and end that where the block fails."""
    with use_span(span, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            failed(span, type(error).__name__)
            span.end()
            raise


@contextlib.contextmanager
def after(name: str, kind: SpanKind, traces: Iterable[str]) -> Iterator[None]:
    """Trace the block, which follows from what `traces` tell of; from nothing, it has no trace.

    `traces` are traceparents, or empty.
    """
    links = () if _tracer is None else tuple(_links(traces))
    if _tracer is None or not links:
        yield
        return
    with _tracer.start_as_current_span(
        name,
        context=Context(),
        kind=kind,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            failed(span, type(error).__name__)
            raise


def failed(span: Span, what: str) -> None:
    """Take note that what `span` is about went wrong; `what` quotes nothing."""
    span.set_status(Status(StatusCode.ERROR, what))


def _traceparent(span: SpanContext) -> str:
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def _links(traces: Iterable[str]) -> Iterator[Link]:
    for carried in dict.fromkeys(filter(None, traces)):
        known = get_current_span(_propagator.extract({HEADER: carried}, Context()))
        if known.get_span_context().is_valid:
            yield Link(known.get_span_context())
