"""Logs as JSON lines, metrics and health over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import TextIO, cast

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

READ_TIMEOUT = 5.0
MAX_REQUEST = 8192


def configure_logging(service: str, level: str) -> None:
    """Write every log line as one JSON object to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")


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


class Readiness(msgspec.Struct, frozen=True):
    """Whether to send work here, and what there is to know about it."""

    ready: bool
    detail: dict[str, str] = {}


class HealthServer:
    """`/healthz` (the event loop turns), `/readyz` (work may be sent), `/metrics`.

    A few lines of HTTP/1.1 of our own, because the three answers need no more:
    GET only, one answer a connection.
    """

    def __init__(self, readiness: Callable[[], Readiness]) -> None:
        self._readiness = readiness
        self._server: asyncio.Server | None = None

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
