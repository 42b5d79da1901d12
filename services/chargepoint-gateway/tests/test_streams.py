"""The gateway's streams: there when needed, and left alone while they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from chargekey_common.process import cancel
from chargekey_gateway import streams
from chargekey_gateway.announcer import CHARGERS_STREAM
from chargekey_gateway.kept_sessions import STREAM as KEPT_STREAM
from chargekey_gateway.lockouts import STREAM as LOCKOUTS_STREAM
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.remote_starts import STREAM as STARTS_STREAM
from chargekey_gateway.remote_starts import RemoteStarts
from chargekey_gateway.sessions.journal import Journal
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.sessions.stream import STREAM


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WATCH", 0.01)


@asynccontextmanager
async def kept(
    client: Client, running: RunningSessions, starts: RemoteStarts | None = None
) -> AsyncIterator[None]:
    journal = Journal(client, running, clock=time.time_ns)
    told: list[object] = []
    lockouts = Lockouts(client, tell=lambda *event: told.append(event), clock=time.time_ns)
    answers = LastKnown(client, clock=time.time_ns)
    confirmed = Confirmed(client)
    starts = starts or RemoteStarts(client, clock=time.time_ns)
    task = asyncio.create_task(
        streams.keep_streams(client, journal, lockouts, answers, confirmed, starts, replicas=1)
    )
    try:
        yield
    finally:
        await cancel(task)


async def _until(client: Client, stream: str, seen: Callable[[StreamInfo], bool]) -> StreamInfo:
    async with asyncio.timeout(30):
        while True:
            try:
                info = await client.jetstream().stream_info(stream)
            except NotFoundError:
                pass
            else:
                if seen(info):
                    return info
            await asyncio.sleep(0.01)


def _is_there(_: StreamInfo) -> bool:
    return True


async def test_a_stream_that_is_there_is_not_declared_again(nats_client: Client) -> None:
    """Each time it would be written to disk by every server, and undo a newer release's."""
    js = nats_client.jetstream()
    async with kept(nats_client, RunningSessions()):
        await _until(nats_client, CHARGERS_STREAM, _is_there)
        config = (await js.stream_info(STREAM)).config
        await js.update_stream(config.evolve(description="of a newer release"))
        await js.delete_stream(CHARGERS_STREAM)
        await _until(nats_client, CHARGERS_STREAM, _is_there)  # so SESSIONS was looked at too
        assert (await js.stream_info(STREAM)).config.description == "of a newer release"


async def test_the_lockouts_bucket_is_made_again_when_it_is_lost(nats_client: Client) -> None:
    """R14: and is one to NATS's own tools."""
    js = nats_client.jetstream()
    async with kept(nats_client, RunningSessions()):
        await _until(nats_client, LOCKOUTS_STREAM, _is_there)
        await js.delete_stream(LOCKOUTS_STREAM)
        await _until(nats_client, LOCKOUTS_STREAM, _is_there)
        bucket = await js.key_value(LOCKOUTS_STREAM.removeprefix("KV_"))
        assert (await bucket.status()).history == 1


async def test_what_keeps_sessions_is_made_again_when_it_is_lost(nats_client: Client) -> None:
    """And is an object store to NATS's own tools."""
    js = nats_client.jetstream()
    async with kept(nats_client, RunningSessions()):
        await _until(nats_client, KEPT_STREAM, _is_there)
        await js.delete_stream(KEPT_STREAM)
        await _until(nats_client, KEPT_STREAM, _is_there)
        store = await js.object_store(KEPT_STREAM.removeprefix("OBJ_"))
        assert (await store.status()).replicas == 1


async def test_what_was_asked_for_from_afar_is_told_to_a_bucket_that_was_lost(
    nats_client: Client,
) -> None:
    js, starts = nats_client.jetstream(), RemoteStarts(nats_client, clock=time.time_ns)
    starts.hear("charger", "app", time.time_ns())
    writing = asyncio.create_task(starts.run())
    async with kept(nats_client, RunningSessions(), starts):
        await _until(nats_client, STARTS_STREAM, lambda info: info.state.messages == 1)
        await js.delete_stream(STARTS_STREAM)
        await _until(nats_client, STARTS_STREAM, lambda info: info.state.messages == 1)
    await cancel(writing)


async def test_a_stream_of_another_form_is_brought_in_line(nats_client: Client) -> None:
    js = nats_client.jetstream()
    async with kept(nats_client, RunningSessions()):
        await _until(nats_client, CHARGERS_STREAM, _is_there)
    config = (await js.stream_info(STREAM)).config
    await js.update_stream(config.evolve(allow_direct=True))
    async with kept(nats_client, RunningSessions()):
        await _until(nats_client, STREAM, lambda info: not info.config.allow_direct)


async def test_transaction_ids_of_a_lost_stream_are_not_given_again(nats_client: Client) -> None:
    """Also where more than one message a second was stored, which is what the clock allows for."""
    js = nats_client.jetstream()
    running = RunningSessions()
    async with kept(nats_client, running):
        info = await _until(nats_client, STREAM, _is_there)
        running.last_known = info.config.first_seq + 1_000_000
        await js.delete_stream(STREAM)
        info = await _until(nats_client, STREAM, _is_there)
    assert running.last_known < info.config.first_seq < 2**31
