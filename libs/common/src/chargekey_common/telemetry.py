"""Logs as JSON lines, metrics and health over plain HTTP, and traces where they are wanted."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import platform
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib import metadata
from typing import TextIO, cast

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, generate_latest

from chargekey_common import tracing
from chargekey_common.process import Lifetime

READ_TIMEOUT = 5.0
MAX_REQUEST = 8192
# Seconds between two looks at how late the event loop is.
LOOK = 0.25
# Seconds that the last traces may take: a collector may be away, and nothing waits for it.
LAST_TRACES = 2.0

_BUILD = Gauge("build_info", "What runs here; always 1.", ["service", "version", "python"])
_READY = Gauge("ready", "Whether work may be sent here, as `/readyz` says.")
_LAG = Histogram(
    "event_loop_lag_seconds",
    "How late the event loop was for what it had to do, looked at four times a second.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)


def observe(lifetime: Lifetime, service: str, level: str) -> None:
    """Begin to tell how the process is: by its logs, its metrics and, where wanted, traces.

    `level` is that of the logs. Raises tracing.ProtocolUnknownError.
    """
    configure_logging(service, level)
    version = metadata.version("chargekey-common")
    _BUILD.labels(service, version, platform.python_version()).set(1)
    if tracing.wanted():
        end = tracing.begin(service, version)
        lifetime.closing.push_async_callback(asyncio.to_thread, end, LAST_TRACES)
    lifetime.own(_watch_loop(), "event loop")


async def _watch_loop() -> None:
    while True:
        due = time.monotonic() + LOOK
        await asyncio.sleep(LOOK)
        _LAG.observe(max(0.0, time.monotonic() - due))


def configure_logging(service: str, level: str) -> None:
    """Write every log line as one JSON object to standard error, those of libraries too."""
    shared: list[structlog.typing.Processor] = [
        functools.partial(_add_service, service),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(serializer=_json)
    standard_error = cast("TextIO", _StandardError())
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=standard_error),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(standard_error)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _add_service(
    service: str, _: object, __: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    # Not as a variable of the context: threads of libraries have none of ours.
    line.setdefault("service", service)
    return line


def _add_trace(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    line.update(tracing.ids())
    return line


class _StandardError:
    """Loses lines where they cannot be written: a full disk of logs is no reason to fail a call."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def _json(line: object, **_: object) -> str:
    return msgspec.json.encode(line, enc_hook=str).decode()


class Reach(msgspec.Struct, frozen=True):
    """How far a stream has been read, by its own sequences, and how far that is to go.

    `target` is where it ended when its server said so last: there may be more behind it.
    """

    applied: int
    target: int


class Readiness(msgspec.Struct, frozen=True):
    """Whether to send work here, what there is to know about it, and how far streams are read."""

    ready: bool
    detail: dict[str, str] = {}
    streams: dict[str, Reach] = {}


class HealthServer:
    """`/healthz` (the event loop turns), `/readyz` (work may be sent), `/metrics`.

    A few lines of HTTP/1.1 of our own, because the three answers need no more:
    GET only, one answer a connection.
    """

    def __init__(self, lifetime: Lifetime, readiness: Callable[[], Readiness]) -> None:
        """Be ready as `readiness` says, and not from when the process is told to end."""
        self._lifetime = lifetime
        self._told = readiness
        _READY.set_function(lambda: self._readiness().ready)
        self._server: asyncio.Server | None = None

    def _readiness(self) -> Readiness:
        told = self._told()
        return msgspec.structs.replace(told, ready=told.ready and not self._lifetime.ending)

    async def start(self, address: str) -> None:
        """Listen on `host:port`."""
        host, _, port = address.rpartition(":")
        self._server = await asyncio.start_server(
            self._answer, host, int(port), limit=MAX_REQUEST, reuse_port=True
        )

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                request = await reader.readuntil(b"\r\n\r\n")
                status, content_type, body = self._respond(request)
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked went away or never asked properly
        finally:
            writer.close()

    def _respond(self, request: bytes) -> tuple[HTTPStatus, str, bytes]:
        match request.split(b" ", 2)[:2]:
            case [b"GET", b"/healthz"]:
                return HTTPStatus.OK, "text/plain", b"ok\n"
            case [b"GET", b"/readyz"]:
                readiness = self._readiness()
                status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
                return status, "application/json", msgspec.json.encode(readiness)
            case [b"GET", b"/metrics"]:
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest()
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"
