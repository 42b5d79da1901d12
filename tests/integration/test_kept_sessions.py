"""A gateway without a file knows what SESSIONS has told, from what another one has kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from grpc import aio
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import Lifetime
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_common.relay import END, GENERATION
from chargekey_common.settings import load
from chargekey_common.testing.waiting import SOON, until
from chargekey_gateway import kept_sessions
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.kept_sessions import KeptSessions
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.running import Beginning, Lock
from chargekey_gateway.settings import GatewaySettings
from chargekey_gateway.view.view import View
from chargekey_gateway.wiring import begin, restored, snapshots
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, Program, programs

MANY = 10
PREFIX = "CHARGEKEY_GATEWAY_"
# `chargekey-gateway`, to which little is much.
PROCESS = f"""
from chargekey_gateway import __main__, kept_sessions
kept_sessions.MANY = {MANY}
__main__.main()
"""
AT = 7


@pytest.fixture
def program(nats_server: NatsServer, tmp_path: Path) -> Iterator[Program]:
    with contextlib.closing(Ports()) as ports:
        data = DataDirectory(tmp_path / "data")
        with data.locked():
            data.token("nats_token").write_text(nats_server.token)
            addresses = Addresses.reserve(ports)
            [gateway] = (
                each
                for each in programs(data, addresses, nats_server.url)
                if each.name == "gateway"
            )
            yield gateway


@contextlib.asynccontextmanager
async def running(program: Program) -> AsyncIterator[None]:
    """Run it as a process of its own, with a file that is written often."""
    often = {**program.environment, f"{PREFIX}SNAPSHOT_INTERVAL": "0.05"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, env=often)
    try:
        yield
    finally:
        process.terminate()
        assert await process.wait() == 0


@contextlib.asynccontextmanager
async def begun(program: Program, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """Have one here that knows all there was, as its process begins, but without a file."""
    for name, value in program.environment.items():
        if name.startswith(PREFIX) and name != f"{PREFIX}SNAPSHOT_FILE":
            monkeypatch.setenv(name, value)
    settings, view, lifetime = load(GatewaySettings), View(), Lifetime()
    try:
        client = await jetstream.connect(jetstream.bus(lifetime, settings), "gateway")
        lifetime.closing.push_async_callback(jetstream.close, client)
        nobody = aio.insecure_channel("127.0.0.1:1")
        lifetime.closing.push_async_callback(nobody.close)
        snapshot = await restored(settings, view)
        gateway, reading = await begin(lifetime, settings, client, nobody, nobody, view, snapshot)
        # Nor does it keep anything for others.
        assert snapshots(settings, view, dict, lambda: gateway.told, client) is None
        await reading.caught_up()
        yield gateway
    finally:
        well = await lifetime.close()
    assert well


def started(number: int, charger_id: str, card: str) -> SessionStarted:
    return SessionStarted(
        installation_id="site",
        charger_id=charger_id,
        session_id=f"session-{number}",
        connector=1,
        started_at=number,
        meter_start=0,
        status="Accepted",
        reason="charger_permission",
        inputs=Inputs(at=AT, identification_id=card),
        user_id="ada",
        identification_id=card,
    )


async def publish(client: Client, event: PublishedEvent) -> int:
    stored = await client.jetstream().publish(event.subject, msgspec.json.encode(event))
    return stored.seq


async def test_a_gateway_without_a_file_knows_what_another_one_has_kept(
    nats_client: Client, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what SESSIONS cannot tell it any more; and whatever came since."""
    monkeypatch.setattr(kept_sessions, "MANY", MANY)
    js = nats_client.jetstream()
    for service in ("access", "identity"):
        made = {GENERATION: "0123456789abcdef", END: "0"}
        config = StreamConfig(name=service.upper(), subjects=[f"{service}.v1.>"], metadata=made)
        await js.add_stream(config)
    await stream.declare(js, now=time.time_ns(), replicas=1)
    for _ in range(MANY):
        await js.publish(stream.lock_subject("anybodys"), stream.FREE)
    locked = await js.publish(stream.lock_subject("card"), stream.HELD)
    await js.publish(stream.start_subject("key"), b"")
    began = started(locked.seq + stream.LOCK_BEFORE_EVENT, "first", "card")
    number = await publish(nats_client, began)
    async with running(program), asyncio.timeout(60):
        while await KeptSessions(nats_client).get(None) is None:
            await asyncio.sleep(SOON)
    await js.purge_stream(stream.STREAM, seq=number + 1)
    other = started(number + 1, "second", "fob")
    await publish(nats_client, other)

    async with begun(program, monkeypatch) as gateway:
        known = gateway.running
        assert [each.session_id for each in known.of_charger("first")] == [began.session_id]
        assert known.beginning(number) == Beginning("key", began)
        assert known.lock("card") == Lock(locked.seq, held=True)
        assert gateway.seen.saved().presented == {"site": {"card": AT, "fob": AT}}
        assert [each.session_id for each in known.of_charger("second")] == [other.session_id]
        over = SessionEnded(
            installation_id="site",
            charger_id="first",
            session_id=began.session_id,
            transaction_id=number,
            connector=1,
            ended_at=AT,
            meter_stop=1,
            reason="Local",
        )
        await publish(nats_client, over)
        await until(lambda: not known.of_charger("first"))
