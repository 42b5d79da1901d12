"""A collector of traces as they are told to one: OTLP over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Seen(msgspec.Struct, frozen=True):
    """A span that a service told of; `after` are the spans that it is linked to."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    after: tuple[str, ...]
    failed: bool
    attributes: dict[str, str]


class Collector:
    """What was told so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Seen] = []
        self.raw = b""

    def find(self, service: str, name: str) -> list[Seen]:
        """Return the spans of that name."""
        return [span for span in self.spans if (span.service, span.name) == (service, name)]

    def take(self, body: bytes) -> None:
        """Take what a service tells."""
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.spans += [
                Seen(
                    service=about["service.name"],
                    name=span.name,
                    kind=type(span).SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    after=tuple(link.span_id.hex() for link in span.links),
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes={
                        each.key: each.value.string_value or str(each.value.int_value)
                        for each in span.attributes
                    },
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take what is posted."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                collector.take(body)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield collector
        server.shutdown()
        serving.join()
