"""What every service counts, as whoever asks for the metrics reads it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc import aio
from nats.aio.client import Client
from prometheus_client import REGISTRY
from sqlalchemy import MetaData, text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chargekey.access.v1.check_pb2 import CheckRequest
from chargekey.access.v1.check_pb2_grpc import (
    CheckServiceServicer,
    CheckServiceStub,
    add_CheckServiceServicer_to_server,
)
from chargekey_common import jetstream
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.database import Database, DatabaseUnavailableError
from chargekey_common.errors import NotFoundError
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.grpc.server import Service
from chargekey_common.http_server import HttpServer
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import Lifetime, cancel
from chargekey_common.relay import Relay
from chargekey_common.telemetry import HealthServer, Readiness, observe
from chargekey_common.testing.grpc import served
from chargekey_common.testing.waiting import until

from .agreement import agree, running
from .shelves import Shelves, publication

OpenStore = Callable[..., EventStore]


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_the_age_of_what_is_not_published_is_told_by_who_publishes_and_nobody_else(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    relay = Relay(nats_client, shelves.store, publication)
    async with running(relay):
        await asyncio.to_thread(shelves.label, Context("me", "1"), shelf_id="s", label="1")
        await agree(nats_client, shelves.store)
        await until(lambda: value("relay_oldest_seconds", stream="SHELVES") == 0)
    assert value("relay_oldest_seconds", stream="SHELVES") is None
    await nats_client.close()
    async with running(relay):
        before = time.time()
        await asyncio.to_thread(shelves.label, Context("me", "2"), shelf_id="s", label="2")
        await until(lambda: (value("relay_oldest_seconds", stream="SHELVES") or 0) > 0.3)
        oldest = value("relay_oldest_seconds", stream="SHELVES")
        assert oldest is not None
        assert oldest <= time.time() - before
    assert value("relay_lag_events", stream="SHELVES") is None


async def test_of_a_store_whose_stream_was_not_looked_at_nothing_is_told(
    nats_client: Client, open_store: OpenStore
) -> None:
    """All of it would seem unpublished, as old as it is, whenever NATS is away at a start."""
    shelves = Shelves(open_store())
    await asyncio.to_thread(shelves.label, Context("me", "1"), shelf_id="s", label="1")
    await nats_client.close()
    async with running(Relay(nats_client, shelves.store, publication)):
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await until(lambda: value("relay_lag_events", stream="SHELVES") is not None, within=1)


async def test_a_connection_to_nats_is_told_for_as_long_as_it_is_wanted(
    nats_server: NatsServer,
) -> None:
    def told(name: str = "metrics-test") -> float | None:
        return value("nats_connected", connection=name)

    client = await jetstream.connect(nats_server.bus, "metrics-test")
    assert told() == 1
    await asyncio.to_thread(nats_server.stop)
    await until(lambda: told() == 0)
    given_up = asyncio.create_task(jetstream.connect(nats_server.bus, "given-up"))
    await until(lambda: told("given-up") == 0)
    with pytest.raises(TimeoutError):
        await until(lambda: told("given-up") is None, within=4 * jetstream.RETRY)
    for _ in range(2):  # again, while it lets go of what it has
        given_up.cancel()
        await asyncio.sleep(0)
    await cancel(given_up)
    assert told("given-up") is None
    at_once = asyncio.create_task(jetstream.connect(nats_server.bus, "given-up"))
    await asyncio.sleep(0)  # before it has begun to connect
    await cancel(at_once)
    assert told("given-up") is None
    await asyncio.to_thread(nats_server.start)
    await until(lambda: told() == 1)
    await jetstream.close(client)
    assert told() is None


class LostError(NotFoundError):
    code = "lost"
    sentence = "It is lost; look elsewhere."


class Asked(CheckServiceServicer):
    async def Check(self, request: CheckRequest, _: object) -> None:  # type: ignore[override]
        if request.object == "lost":
            raise LostError
        if request.object == "slow":
            await asyncio.Event().wait()
        raise RuntimeError


async def everything(_: Caller, __: str, ___: str) -> None:
    """Allow it."""


@pytest.mark.parametrize(
    ("about", "code"),
    [("lost", "NOT_FOUND"), ("broken", "INTERNAL"), ("slow", "DEADLINE_EXCEEDED")],
)
async def test_a_call_is_counted_by_what_came_of_it_and_timed(
    about: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server's clock begins when it hears of the call, which may take a moment.
    monkeypatch.setattr("chargekey_common.grpc.observed.AT_THE_DEADLINE", 2.5)
    service = Service(
        "chargekey.access.v1.CheckService",
        add_CheckServiceServicer_to_server,
        Asked(),
        {"Check": lambda _: "system"},
    )
    counted = {"method": "access.Check", "code": code}
    before = value("grpc_requests_total", **counted) or 0
    timed = value("grpc_request_duration_seconds_count", method="access.Check") or 0
    async with served(service, tmp_path, everything) as as_caller:
        channel = as_caller(ADMINISTRATOR)
        await channel.channel_ready()
        stub = CheckServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as failed:
            await stub.Check(CheckRequest(object=about), timeout=3 if about == "slow" else 30)
        assert failed.value.code() is getattr(grpc.StatusCode, code)
        await until(lambda: value("grpc_requests_total", **counted) == before + 1)
    assert value("grpc_request_duration_seconds_count", method="access.Check") == timed + 1


async def test_a_request_by_http_is_counted_by_its_status() -> None:
    async def refuse(_: Request) -> Response:
        return Response(status_code=418)

    http = HttpServer(Starlette(routes=[Route("/", refuse)]), "127.0.0.1:0")
    lifetime = Lifetime()
    lifetime.own(http.run(), "http")
    lifetime.closing.push_async_callback(http.stop)
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()
    assert await lifetime.close()
    assert value("http_requests_total", code="418") == 1


def test_a_database_that_is_not_there_is_counted(tmp_path: Path) -> None:
    before = value("database_errors_total", part="tables")
    assert before is not None
    path = tmp_path / "example.db"
    with closing(Database(path, MetaData(), lock_timeout=0.01)) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailableError), database.writing() as connection:
            connection.execute(text("SELECT 1"))
        other.close()
    assert value("database_errors_total", part="tables") == before + 1


async def test_what_runs_and_how_late_it_is_is_told() -> None:
    def looks() -> float:
        return value("event_loop_lag_seconds_count") or 0

    lifetime = Lifetime()
    observe(lifetime, "example", "INFO")
    seen = looks()
    await until(lambda: looks() > seen)
    assert await lifetime.close()
    [told] = [
        sample
        for family in REGISTRY.collect()
        if family.name == "build_info"
        for sample in family.samples
        if sample.labels["service"] == "example"
    ]
    assert told.value == 1
    assert told.labels["version"] == "0.1.0"


def test_readiness_is_a_metric_too() -> None:
    ready = False
    server = HealthServer(Lifetime(), lambda: Readiness(ready=ready))
    assert value("ready") == 0
    ready = True
    assert value("ready") == 1
    del server
