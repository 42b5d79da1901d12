"""What one request sets off, through every service, as a collector is told of it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest

from chargekey.gateway.v1 import convergence_pb2
from chargekey.identity.v1 import users_pb2
from chargekey_common import tracing
from chargekey_common.testing.collector import Collector, Seen, collecting
from chargekey_common.testing.waiting import until
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.simulator import simulated_charger
from chargekey_stack.supervisor import running

from .garage import CHARGER, Garage, authorize, create_garage, eventually
from .outages import PATIENCE

PIN = "#2468"


async def one(collector: Collector, service: str, name: str) -> Seen:
    """Return the only span of that name, once it is told."""
    await until(lambda: collector.find(service, name))
    [span] = collector.find(service, name)
    return span


async def follows(collector: Collector, service: str, name: str, cause: Seen) -> Seen:
    """Return the span that is linked to its cause, in a trace of its own."""

    def look() -> list[Seen]:
        return [span for span in collector.find(service, name) if cause.id in span.after]

    await until(look)
    [span] = look()
    assert span.trace != cause.trace
    assert span.parent == ""
    return span


async def block(client: Client, garage: Garage) -> None:
    """Block who charges, once the gateway has nothing to do at the charger.

    What it is doing there already it goes on with, and stops the charger, in the trace in which
    that began.
    """
    request = convergence_pb2.ListConvergenceRequest(charger_id=garage.charger_id)

    async def look() -> convergence_pb2.Convergence:
        [charger] = (await client.convergence.ListConvergence(request)).chargers
        return charger

    await eventually(
        look, lambda seen: seen.HasField("converged_at") and not seen.pending, PATIENCE
    )
    await client.users.BlockUser(users_pb2.BlockUserRequest(user_id=garage.user_id))


async def test_a_request_is_followed_through_every_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataDirectory(tmp_path / "data")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        async with running(data, tell=print) as system, connected(data) as client:
            garage = await create_garage(client, PIN)
            assert (await authorize(client, PIN, *garage.positions)).reason

            # A command, its publication, and who reads it.
            command = await one(collector, "access", "access.AddCharger")
            assert (command.kind, command.parent, command.failed) == ("SERVER", "", False)
            assert command.attributes["rpc.response.status_code"] == "OK"
            published = await follows(collector, "access", "publish ACCESS", command)
            assert published.kind == "PRODUCER"
            read = await follows(collector, "chargepoint-gateway", "read ACCESS", command)
            assert read.kind == "CONSUMER"

            # One that asks another service: its question is a part of the same trace.
            adding = await one(collector, "identity", "identity.AddLocalUser")

            def asking() -> list[Seen]:
                """Return the spans of its trace, once they hang together."""
                spans = [span for span in collector.spans if span.trace == adding.trace]
                known = {span.id for span in spans}
                asked = {span.parent for span in spans if span.service == "access"}
                return spans if asked and asked <= known else []

            await until(asking)
            by_id = {span.id: span for span in asking()}
            for span in (each for each in by_id.values() if each.service == "access"):
                question = by_id[span.parent]
                assert (question.service, question.kind) == ("identity", "CLIENT")
                assert question.parent == adding.id

            # A call of a charger, and who reads what came of it.
            async with simulated_charger(system.ocpp, CHARGER, garage.password) as charger:
                await charger.boot()
                assert (await charger.start(PIN)).status == "Accepted"
                start = await one(collector, "chargepoint-gateway", "ocpp StartTransaction")
                assert (start.kind, start.parent) == ("SERVER", "")
                assert start.attributes["chargekey.charger"] == garage.charger_id
                await follows(collector, "history", "read SESSIONS", start)

                # A reaction of another service.
                await block(client, garage)
                blocking = await one(collector, "identity", "identity.BlockUser")
                await follows(collector, "notifier", "notifier-on-user-blocked", blocking)
                stopping = await follows(
                    collector, "chargepoint-gateway", "read IDENTITY", blocking
                )
                async with asyncio.timeout(PATIENCE):
                    assert await charger.stopped() == "Remote"

            # A page: a trace of its own, whatever whoever asks for it says.
            theirs = f"00-{'ab' * 16}-{'cd' * 8}-01"
            page = urllib.request.Request(  # noqa: S310 - ours
                f"{system.portal}/sign-in", headers={tracing.HEADER: theirs}
            )
            await asyncio.to_thread(lambda: urllib.request.urlopen(page).read())  # noqa: S310 - ours
            shown = await one(collector, "portal", "HTTP GET /sign-in")
            assert (shown.parent, shown.attributes["http.response.status_code"]) == ("", "200")
            assert shown.trace not in theirs

    for secret in (PIN, garage.password, "Lovelace"):
        assert secret.encode() not in collector.raw
    traced = set()
    for name in system.health:
        for line in data.log(name).read_text().splitlines():
            said = json.loads(line)
            assert {"event", "level", "timestamp", "service"} <= said.keys(), line
            traced.add(said.get("trace_id"))
    assert stopping.trace in traced, "what is logged meanwhile says to whose trace it belongs"
