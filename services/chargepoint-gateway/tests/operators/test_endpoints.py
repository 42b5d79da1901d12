"""Where operators answer, fetched from an access served by gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from grpc import aio

from chargekey.access.v1 import decision_endpoints_pb2 as pb
from chargekey.access.v1 import decision_endpoints_pb2_grpc
from chargekey_common.process import cancel
from chargekey_common.published import access
from chargekey_gateway.operators.endpoints import Endpoints
from chargekey_gateway.operators.question import Endpoint, OcpiParties
from chargekey_gateway.view.view import View

PARTIES = OcpiParties("NO", "CKY", "DE", "VLT")
FIRST = Endpoint("OCPI", "https://volt.example/tokens", "first", PARTIES)
SECOND = Endpoint("WEBHOOK", "https://volt.example/decide", "second")
_KINDS = {"OCPI": pb.DECISION_ENDPOINT_KIND_OCPI, "WEBHOOK": pb.DECISION_ENDPOINT_KIND_WEBHOOK}


class SmallAccess(decision_endpoints_pb2_grpc.DecisionEndpointServiceServicer):
    """Knows endpoints, or is away."""

    def __init__(self) -> None:
        self.known: dict[str, Endpoint] = {}
        self.away = False
        self.calls = 0
        self.asked = asyncio.Event()

    async def GetDecisionEndpoint(self, request: Any, context: Any) -> Any:
        self.calls += 1
        self.asked.set()
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        found = self.known.get(request.partner_id)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        assert found is not None
        parties = None if found.parties is None else msgspec.structs.asdict(found.parties)
        return pb.GetDecisionEndpointResponse(
            kind=_KINDS[found.kind],
            url=found.url,
            secret=found.secret,
            parties=None if parties is None else pb.OcpiParties(**parties),
        )


@pytest.fixture
async def small_access(tmp_path: Path) -> AsyncIterator[tuple[SmallAccess, Endpoints]]:
    servicer = SmallAccess()
    server = aio.server()
    decision_endpoints_pb2_grpc.add_DecisionEndpointServiceServicer_to_server(servicer, server)
    address = f"unix:{tmp_path}/access"
    server.add_insecure_port(address)
    await server.start()
    async with aio.insecure_channel(address) as channel:
        endpoints = Endpoints(channel, pause=0.01)
        task = asyncio.create_task(endpoints.run())
        yield servicer, endpoints
        await cancel(task)
    await server.stop(None)


async def becomes(endpoints: Endpoints, expected: Endpoint | None) -> None:
    async with asyncio.timeout(30):
        while await endpoints.of("volt") != expected:
            await asyncio.sleep(0.005)


async def test_it_is_fetched_when_it_changes_and_then_known(
    small_access: tuple[SmallAccess, Endpoints],
) -> None:
    access_, endpoints = small_access
    assert await endpoints.of("volt") is None  # nobody told of it
    access_.known["volt"] = FIRST
    endpoints.changed("volt")
    assert await endpoints.of("volt") == FIRST  # waits for the first answer
    assert await endpoints.of("volt") == FIRST
    assert access_.calls == 1
    access_.known["volt"] = SECOND
    endpoints.changed("volt")
    await becomes(endpoints, SECOND)
    del access_.known["volt"]
    endpoints.changed("volt")
    await becomes(endpoints, None)


async def test_while_access_is_away_the_last_one_known_is_used(
    small_access: tuple[SmallAccess, Endpoints],
) -> None:
    access_, endpoints = small_access
    access_.known["volt"] = FIRST
    endpoints.changed("volt")
    assert await endpoints.of("volt") == FIRST
    access_.away, access_.known["volt"] = True, SECOND
    access_.asked.clear()
    endpoints.changed("volt")
    async with asyncio.timeout(30):
        await access_.asked.wait()
    assert await endpoints.of("volt") == FIRST
    access_.away = False
    await becomes(endpoints, SECOND)


async def test_before_the_first_answer_whoever_asks_waits(
    small_access: tuple[SmallAccess, Endpoints],
) -> None:
    access_, endpoints = small_access
    access_.away, access_.known["volt"] = True, FIRST
    endpoints.changed("volt")
    asking = asyncio.create_task(endpoints.of("volt"))
    async with asyncio.timeout(30):
        await access_.asked.wait()
    assert not asking.done()
    access_.away = False
    assert await asking == FIRST


async def test_another_store_of_access_is_asked_about_all_of_them(
    small_access: tuple[SmallAccess, Endpoints],
) -> None:
    access_, endpoints = small_access
    access_.known["volt"] = FIRST
    endpoints.changed("volt")
    await becomes(endpoints, FIRST)
    access_.known["volt"] = SECOND
    endpoints.all_changed()
    await becomes(endpoints, SECOND)


def test_the_view_tells_of_every_change() -> None:
    view, told = View(), []
    view.on_endpoint_change(told.append)
    view.apply(
        access.DecisionEndpointSet(partner_id="volt", kind="OCPI", url="https://volt.example/")
    )
    view.apply(access.DecisionEndpointRemoved(partner_id="watt"))
    view.apply(access.LookupKeyRotated(partner_id="volt"))
    assert told == ["volt", "watt"]
