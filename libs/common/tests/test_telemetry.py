"""Health over plain HTTP: honest, and closed to whoever asks improperly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from chargekey_common.process import Lifetime
from chargekey_common.telemetry import MAX_REQUEST, READ_TIMEOUT, HealthServer, Reach, Readiness


class Probed:
    """A health server, its address, and whether the service is ready."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ready = False
        self.lifetime = Lifetime()

    async def send(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()


@pytest_asyncio.fixture
async def probed() -> AsyncIterator[Probed]:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        probed = Probed(reserved.getsockname()[1])
        server = HealthServer(
            probed.lifetime,
            lambda: Readiness(probed.ready, {"position": "7"}, {"SHELVES": Reach(7, 9)}),
        )
        await server.start(f"127.0.0.1:{probed.port}")
        yield probed
        await server.stop()


async def test_a_service_that_is_not_ready_is_alive(probed: Probed) -> None:
    assert b" 200 " in await probed.send(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert b" 503 " in await probed.send(b"GET /readyz HTTP/1.1\r\n\r\n")


async def test_a_ready_service_says_so_with_what_there_is_to_know(probed: Probed) -> None:
    probed.ready = True
    head, _, body = (await probed.send(b"GET /readyz HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
    assert b" 200 " in head
    assert msgspec.json.decode(body) == {
        "ready": True,
        "detail": {"position": "7"},
        "streams": {"SHELVES": {"applied": 7, "target": 9}},
    }


async def test_a_service_that_is_told_to_end_is_not_ready_and_alive(probed: Probed) -> None:
    probed.ready = True
    probed.lifetime.stop()
    assert b" 503 " in await probed.send(b"GET /readyz HTTP/1.1\r\n\r\n")
    assert b" 200 " in await probed.send(b"GET /healthz HTTP/1.1\r\n\r\n")


async def test_metrics_are_told(probed: Probed) -> None:
    assert b"relay_lag_events" in await probed.send(b"GET /metrics HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\n\r\n", b"POST /healthz \r\n\r\n", b"\r\n\r\n"]
)
async def test_anything_else_is_not_found(probed: Probed, request_: bytes) -> None:
    assert b" 404 " in await probed.send(request_)


async def test_a_request_without_an_end_is_closed_as_soon_as_it_is_too_long(
    probed: Probed,
) -> None:
    async with asyncio.timeout(READ_TIMEOUT / 2):
        with contextlib.suppress(ConnectionResetError):
            assert await probed.send(b"x" * (3 * MAX_REQUEST)) == b""


def test_a_log_that_cannot_be_written_fails_nothing() -> None:
    """The disk that is full has the logs on it, most likely."""
    program = (
        "import structlog; from chargekey_common.telemetry import configure_logging; "
        "configure_logging('example', 'INFO'); "
        "[structlog.get_logger().info('event', number=number) for number in range(10_000)]; "
        "print('done', flush=True); import os; os._exit(0)"
    )
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
            timeout=60,
        )
    assert said.stdout == "done\n"


LOGGING = """
import logging, threading, warnings
import structlog
from chargekey_common.telemetry import configure_logging
configure_logging("example", "INFO")
def fail():
    raise ValueError("in a thread")
def logs():
    try:
        fail()
    except ValueError:
        logging.getLogger("some.library").exception("it failed %s", "badly")
logging.getLogger("some.library").info("too much to say")
logging.getLogger("some.library").warning("line one\\nline two")
thread = threading.Thread(target=logs)
thread.start()
thread.join()
warnings.warn("an old way", DeprecationWarning, stacklevel=1)
structlog.get_logger().info("said", number=7)
"""


def test_every_line_is_json_those_of_libraries_and_threads_too() -> None:
    said = subprocess.run(
        [sys.executable, "-W", "always", "-c", LOGGING],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = [msgspec.json.decode(line) for line in said.stderr.splitlines()]
    assert [(line["event"].splitlines()[0], line["level"]) for line in lines[:2]] == [
        ("line one", "warning"),
        ("it failed badly", "error"),
    ]
    assert "ValueError: in a thread" in lines[1]["exception"]
    assert "an old way" in lines[2]["event"]
    assert [line.get("logger") for line in lines] == [
        "some.library",
        "some.library",
        "py.warnings",
        None,
    ]
    assert lines[3]["number"] == 7
    for line in lines:
        assert line["service"] == "example"
        assert line["timestamp"].endswith("Z")
        assert "trace_id" not in line
